"""Tests of two ranks (gloo, one CPU): their bits agree, and they take the steps of one rank with all data."""

import os
import re
import subprocess
import sys
from itertools import pairwise

import pytest
import torch

from benchmarks.registry import ROOT, files
from tests.addax import ranks
from tests.numerics.oracle import DTYPES, bits

pytestmark = pytest.mark.process

METHODS = pytest.mark.parametrize("method", sorted(files("method")))
GUIDE = (ROOT / "docs" / "guides" / "training.md").read_text(encoding="utf-8")
EXAMPLE = re.search(r"<!-- example:distributed -->\n```python\n(.*?)^```$", GUIDE, re.M | re.S).group(1)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Run `ranks.py` once for all tests of this file, and return the results of each rank."""
    folder = tmp_path_factory.mktemp("ranks")
    (folder / "example.py").write_text(EXAMPLE, encoding="utf-8")
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks.WORLD)]
    done = subprocess.run(
        [sys.executable, *command, ranks.__file__, folder, folder / "example.py"],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(ranks.WORLD)]


def test_ranks_agree_bit_for_bit_after_every_step(found):
    first, second = (rank["trajectories"] for rank in found)
    assert {dtype for *_, dtype in first} == set(DTYPES)
    assert {method for method, *_ in first} == set(files("method"))
    for case, (seen, scale) in first.items():
        others, other_scale = second[case]
        assert len(seen) == ranks.STEPS + 1
        for before, after in pairwise(seen):
            assert before != after, f"{case} did not move"
        assert seen == others, case
        assert scale == other_scale, case


@pytest.mark.parametrize("problem", ranks.PROBLEMS)
@pytest.mark.parametrize("arithmetic", [None, "released"])
@METHODS
def test_two_halves_of_a_batch_give_the_step_of_the_whole_batch(found, method, arithmetic, problem):
    if arithmetic and method not in ranks.RELEASED:
        return
    options = {"arithmetic": arithmetic} if arithmetic else {}
    model = ranks.PROBLEMS[problem].build(torch.float32)
    start = torch.cat([p.detach().flatten().clone() for p in model.parameters()])
    opt = ranks.build(method, model, **options)
    case = (method, *options.values(), problem, torch.float32)
    seen = found[0]["trajectories"][case][0][1:]
    for k in range(ranks.STEPS):
        ranks.steps(opt, problem, model, slice(None), k, 1)
        whole = torch.cat([p.detach().flatten() for p in model.parameters()])
        halves = torch.frombuffer(bytearray(b"".join(seen[k])), dtype=torch.float32)
        assert (halves - whole).abs().max() < 1e-6, f"step {k}"
        assert (whole - start).abs().max() > 1e-4, "nothing changed, so the comparison is meaningless"


def test_one_half_of_a_batch_gives_a_different_step():
    """If the halves were equal, the comparison above would prove nothing."""
    models = [ranks.MLP.build(torch.float32) for _ in range(2)]
    for model, part in zip(models, (slice(0, ranks.ROWS // 2), slice(None)), strict=True):
        ranks.steps(ranks.build("ip-sgd", model), "mlp", model, part)
    differences = [(a - b).abs().max() for a, b in zip(*(m.parameters() for m in models), strict=True)]
    assert max(differences) > 1e-3


def test_a_non_finite_loss_on_one_rank_skips_the_step_on_all(found):
    first, second = (rank["not finite"] for rank in found)
    assert {method for method, *_ in first} == set(files("method"))
    assert {name for *_, name in first} == {"zo_loss", "fo_loss", "full_loss"}
    for case, (outcome, end) in first.items():
        assert outcome == second[case][0] == (True, 1, True, True), case
        assert end == second[case][1], case


def test_an_overflow_on_one_rank_masks_the_gradient_on_all(found):
    """The loss scale also halves on all ranks."""
    first, second = (rank["overflow"] for rank in found)
    assert first == second
    assert {"addax", "ip-sgd", "sgd", "adam"} <= set(first)
    for method, (_, scale, overflows) in first.items():
        assert overflows > 0, method
        assert scale == 2.0**14, method


@METHODS
def test_different_parameters_are_rejected_on_all_ranks(found, method):
    for rank in found:
        message = rank["rejections"][method]
        assert re.search(r"parameter '3\.weight' differs between rank 0 and rank 1", message)


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("seed", "rank 1 has seed 1 and rank 0 has seed 0: use one seed for all"),
        ("frozen, exchanged elements", "parameter '2.bias' differs between rank 0 and rank 1"),
        ("trainable on one rank", "parameter '2.weight' differs between rank 0 and rank 1"),
        ("one more", "parameter 'extra.weight' differs between rank 0 and rank 1"),
    ],
)
def test_different_seeds_and_trainable_parameters_are_rejected_on_all_ranks(found, case, message):
    for rank in found:
        assert message in rank["rejections"][case]


def test_a_process_outside_the_group_is_rejected(found):
    assert found[0]["rejections"]["no member"] == "no error"
    assert "not in process_group" in found[1]["rejections"]["no member"]


def test_a_resumed_run_is_the_same_run(found):
    for case, (whole, resumed) in found[0]["resumed"].items():
        assert resumed == whole, case
        assert found[1]["resumed"][case] == (whole, whole), case


def test_a_step_takes_the_documented_number_of_collectives(found):
    """A step takes one for the estimate, one for a first-order loss, and one for each gradient."""
    shapes = sorted(tuple(p.shape) for p in ranks.MLP.build(torch.float32).parameters())
    scalars = {"addax": [(2,), ()], "mezo": [(2,)], "mezo-svrg": [(2,)]}
    for method, calls in found[0]["collectives"].items():
        first = scalars.get(method, [()])
        tensors = [] if first == [(2,)] else shapes
        seen = [shape for shape, _ in calls]
        assert seen[: len(first)] == first, method
        assert sorted(seen[len(first) :]) == tensors, method
        # If a method updates in place, each tensor changes before the next gradient is reduced.
        moved = [count for _, count in calls[len(first) :]]
        if method in ("addax", "ip-sgd"):
            assert moved == list(range(len(shapes))), method
        assert calls == found[1]["collectives"][method]


def test_averaging_does_not_overwrite_memory_that_the_backward_pass_reads(found):
    """With r = 1, 2 the gradients are the means of r and of r^2; lr is 0.01."""
    for rank in found:
        a, b = rank["shared memory"]
        assert a == pytest.approx([-0.015] * 4)
        assert b == pytest.approx([-0.025] * 4)


def test_16_bit_values_are_averaged_in_float32(found):
    """The sum of two float16 numbers may overflow in float16, but their mean does not."""
    for rank in found:
        assert rank["mean"].dtype == torch.float32
        assert rank["mean"].tolist() == [6e4, 2**-11]


def test_the_documented_distributed_example_runs(found):
    """Both ranks end with the same model and report the loss of the whole batch."""
    assert found[0]["example"] == found[1]["example"]
    assert 0 < found[0]["example"][0] < 100


def test_a_step_without_a_group_takes_no_collective(monkeypatch):
    monkeypatch.setattr(torch.distributed, "all_reduce", None)
    monkeypatch.setattr(torch.distributed, "all_gather_object", None)
    for method in files("method"):
        model = ranks.MLP.build(torch.bfloat16)
        before = bits(model)
        ranks.steps(ranks.build(method, model), "mlp", model, slice(None), number=2)
        assert bits(model) != before
