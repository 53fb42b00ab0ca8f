"""Tests of the study of step speed, on a tiny model. Times are not checked."""

import weakref

import pytest
import torch
from transformers import OPTConfig

from addax import noise
from baselines.mezo import MeZO
from benchmarks import models
from benchmarks.cli import main
from benchmarks.results.row import read
from benchmarks.studies import _step_tables, _step_ways
from benchmarks.studies import step_speed as step
from benchmarks.studies._step_costs import Counts
from tests.simulated_gpu import InterpretedGPU

pytestmark = pytest.mark.medium


def tiny(_shape, dtype, device, *_):
    """Build a tiny OPT in which biases are few compared with the weights."""
    config = OPTConfig(
        vocab_size=512,
        hidden_size=128,
        word_embed_proj_dim=128,
        ffn_dim=256,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=32,
        dropout=0.0,
    )
    return models.build(config, dtype=dtype, device=device)


@pytest.fixture
def measure(monkeypatch):
    """Return a function that measures parts of the study on the tiny model and returns their rows."""
    monkeypatch.setattr(step, "opt", tiny)

    def rows(*parts, dtype=torch.float32, zo=(2, 8), repeats=2, **options):
        found = step.step("opt-125m", dtype, zo, repeats, "cpu", parts=parts, **options)
        return [row for part in found for row in part]

    return rows


@pytest.fixture(scope="module")
def rows():
    """Return the rows of all parts on the tiny model."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(step, "opt", tiny)
        found = step.step("opt-125m", torch.float32, (2, 8), 2, "cpu")
        return [row for part in found for row in part]


@pytest.fixture
def fail(monkeypatch):
    """Return a function that lets a way run out of memory at a given call of its step."""

    def install(name, at_call=1):
        ways_of, calls = _step_ways.ways_of, []

        def work(_batches):
            calls.append(None)
            if len(calls) >= at_call:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.50 GiB.")

        def changed(model):
            return {
                part: [_step_ways.Way(w.name, lambda: work) if w.name == name else w for w in ways]
                for part, ways in ways_of(model).items()
            }

        monkeypatch.setattr(step, "ways_of", changed)
        return calls

    return install


def test_every_alternative_has_the_expected_draws_and_passes(rows):
    found = {row["way"]: row for row in rows}
    assert len(found) == len(rows)
    expected = {
        "two forwards": (0, 0),
        "three draws, three passes": (3, 1),  # two of the three passes only read theta
        "released": (4, 0),  # creates new tensors and assigns them to the parameters
        "released, our noise": (4, 4),
        "MeZO": (3, 1),
        "MeZO, Rademacher": (3, 1),
        "four forwards": (0, 0),
        "MeZO-SVRG": (6, 1),
        "forward, backward": (0, 0),
        "torch SGD": (0, 1),
        "IP-SGD": (0, 1),
        "SGD": (0, 1),
        "torch Adam": (0, 1),
        "Adam": (0, 1),
        "two forwards; forward, backward": (0, 0),
        "Addax": (3, 1),
    }
    assert set(found) == set(expected)
    for way, (draws, passes) in expected.items():
        # The z of biases is drawn once per step and kept.
        assert found[way]["draws"] == pytest.approx(draws, abs=0.05), way
        assert found[way]["passes"] == pytest.approx(passes), way
    for row in rows:
        bare = _step_tables.together(rows, row)[0]
        assert row["seconds"] > 0
        assert bare["way"] == step.BARE[row["part"]]
        assert (bare["beyond_seconds"], bare["bare_ratio"]) == (0, 1)


@pytest.mark.parametrize("direction", noise.DIRECTIONS)
def test_the_draws_and_writes_of_fused_kernels_count(direction):
    pytest.importorskip("triton")
    model = torch.nn.Linear(8, 4)
    with InterpretedGPU().in_use():
        opt = MeZO(model, lr=1e-3, direction=direction)
        counts = Counts(model)
        with counts.counting():
            opt.step(zo_loss=lambda: model(torch.ones(2, 8)).square().mean())
    # Interpreted kernels write by pointers, which operators do not show.
    assert (counts.draws, counts.passes) == (3, 1)


def test_peaks_order_the_methods(rows):
    """IP-SGD never has all gradients at once, so its peak is below that of SGD."""
    peak = {row["way"]: row["peak_bytes"] for row in rows}
    theta = rows[0]["theta_bytes"]
    assert peak["IP-SGD"] < peak["SGD"] - 0.3 * theta
    assert peak["released"] > peak["MeZO"] - 0.2 * theta
    assert peak["torch Adam"] >= peak["torch SGD"]


def test_the_two_batches_of_a_mixed_step_can_differ(measure):
    rows = measure("mixed", "first order", dtype=torch.bfloat16, fo=(1, 5))
    addax, ip_sgd = (next(row for row in rows if row["way"] == way) for way in ("Addax", "IP-SGD"))
    names = ("batch_size", "length", "fo_batch_size", "fo_length")
    assert [addax[name] for name in names] == [2, 8, 1, 5]
    assert [ip_sgd.get(name) for name in names] == [1, 5, None, None]
    assert "| 2 x 8; 1 x 5 |" in " ".join(step.table(rows).split())


def test_the_batches_of_the_two_losses_have_their_own_sizes():
    model, shapes = tiny("", torch.float32, "cpu"), []
    model.register_forward_pre_hook(
        lambda _module, _args, kwargs: shapes.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    batches = (torch.zeros(3, 9, dtype=torch.long), torch.zeros(2, 4, dtype=torch.long))
    for way in _step_ways.ways_of(model)["mixed"]:
        shapes.clear()
        way.build()(batches)
        assert shapes == [(3, 9), (3, 9), (2, 4)], way.name


def test_states_as_large_as_theta_never_exist_together(measure, monkeypatch):
    """Torch's Adam and ours keep two moments each, and the study keeps one pair at a time."""
    stepped, step_of, most = weakref.WeakSet(), torch.optim.Adam.step, []

    def watched(self, *args, **kwargs):
        stepped.add(self)
        most.append(len(stepped))
        return step_of(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.Adam, "step", watched)
    measure("first order", repeats=1)
    assert len(most) > 6
    assert max(most) == 1


@pytest.mark.parametrize("at_call", [1, 5], ids=["at its first step", "while it is timed"])
def test_a_way_that_runs_out_of_memory_gets_a_row_and_the_others_are_measured(measure, fail, at_call):
    calls = fail("SGD", at_call)
    rows = {row["way"]: row for row in measure("first order")}
    assert (rows["SGD"]["seconds"], rows["SGD"]["reason"]) == (None, "out of memory")
    assert len(calls) == at_call
    others = [row for way, row in rows.items() if way != "SGD"]
    assert all(row["seconds"] > 0 and "reason" not in row for row in others)
    (line,) = (line for line in step.table([*rows.values()]).splitlines() if "| SGD " in line)
    assert [cell.strip() for cell in line.strip("|").split("|")][4:] == ["out of memory", *[""] * 6]


def test_without_bare_evaluations_in_memory_steps_have_times_only(measure, fail):
    fail("forward, backward")
    rows = {row["way"]: row for row in measure("first order")}
    assert rows["IP-SGD"]["seconds"] > 0
    assert rows["IP-SGD"]["beyond_seconds"] is None
    assert "IP-SGD" in step.table([*rows.values()])


def test_other_errors_are_not_hidden(measure, monkeypatch):
    def broken(_model):
        return {"mixed": [_step_ways.Way("bare", lambda: lambda _: 1 / 0)]}

    monkeypatch.setattr(step, "ways_of", broken)
    with pytest.raises(ZeroDivisionError):
        measure("mixed")


def test_a_model_that_does_not_fit_is_one_clear_line(monkeypatch, capsys):
    def opt(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(step, "opt", opt)
    assert main(["study", "step-speed", "--shape", "opt-66b", "--device", "cpu"]) == 2
    assert "--shape opt-66b: the weights alone do not fit into memory (cpu)" in capsys.readouterr().err


def test_finished_parts_are_saved_if_a_later_part_fails(monkeypatch, tmp_path):
    monkeypatch.setattr(step, "opt", tiny)
    measured = step.measured

    def fail(ways, *args):
        if ways[0].name == step.BARE["mixed"]:
            raise KeyboardInterrupt
        return measured(ways, *args)

    monkeypatch.setattr(step, "measured", fail)
    words = ["--parts", "zeroth order", "mixed", "--repeats", "1", "--batch-size", "2", "--length", "8"]
    words += ["--device", "cpu", "--dtype", "bfloat16", "--save-to", str(tmp_path)]
    main(["study", "step-speed", *words])
    rows = read(tmp_path / "step-speed.jsonl")
    assert {row["part"] for row in rows} == {"zeroth order"}
    # Rows of another part of the same setting do not replace them.
    monkeypatch.setattr(step, "measured", measured)
    assert main(["study", "step-speed", *words[:1], *words[2:]]) == 0
    assert {row["part"] for row in read(tmp_path / "step-speed.jsonl")} == {"zeroth order", "mixed"}


def test_the_table_compares_overheads_with_that_of_the_released_step(rows):
    rows = [dict(row) for row in rows if row["part"] == "zeroth order"]
    for row, seconds in zip(rows, (1.0, 2.0, 5.0, 4.0, 3.0, 1.5), strict=True):
        row["seconds"], row["beyond_seconds"], row["bare_ratio"] = seconds, seconds - 1.0, seconds
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in step.table(rows).splitlines()]
    assert [(c[2], *c[4:8]) for c in cells[2:]] == [
        ("two forwards", "1.000", "", "", ""),
        ("three draws, three passes", "2.000", "1.000", "2.00", "0.25"),
        ("released", "5.000", "4.000", "5.00", ""),
        ("released, our noise", "4.000", "3.000", "4.00", "0.75"),
        ("MeZO", "3.000", "2.000", "3.00", "0.50"),
        ("MeZO, Rademacher", "1.500", "0.500", "1.50", "0.12"),
    ]
