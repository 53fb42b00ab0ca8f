"""Tests of the training loop: evaluations, best weights, dropout, non-finite steps, and progress."""

import json
import math
import shutil
from itertools import pairwise

import pytest
import torch

from benchmarks import models, registry
from benchmarks.config.methods import method_class
from benchmarks.evaluation.evaluate import Score
from benchmarks.evaluation.scoring import Scorer
from benchmarks.training import loop, run
from tests.benchmarks.training.tiny_runs import COUNTS, STEPS, row_of, tiny

METHODS = tuple(registry.files("method"))


def snapshot(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_the_weights_with_the_best_validation_score_are_tested(monkeypatch):
    # Evaluations before training, after steps 1 to 4, and on the test rows. The untrained model has the best
    # score, but must not be selected.
    scores = [0.99, 0.2, 0.7, 0.7, 0.5, 0.4]
    losses = [0.0, 1.0, 1.0, 0.5, 0.1, 1.0]
    seen = []

    def watched(scorer, examples, batch_size):
        seen.append((snapshot(scorer.model), len(examples)))
        return Score(scores[len(seen) - 1], losses[len(seen) - 1], None, len(examples)), []

    monkeypatch.setattr(loop, "evaluate_each", watched)
    row = row_of(tiny("sgd", evaluations=4))
    states = [state for state, _ in seen]
    assert [n for _, n in seen] == [8] * 5 + [12]
    assert all(not torch.equal(a, b) for a, b in pairwise(states[:5]))
    # Among equal scores, the smaller loss wins.
    assert torch.equal(states[5], states[3])
    assert (row["best_step"], row["validation"]["score"], row["score"]) == (3, 0.7, 0.4)


def test_steps_and_evaluations_are_timed_on_all_devices_that_hold_parameters(monkeypatch):
    """Meta devices stand in for the cards of a sharded model; the clock does not wait for them."""
    waited, clock = [], loop.now

    def now(devices):
        waited.append(list(devices))
        return clock(devices)

    monkeypatch.setattr(loop, "now", now)
    cards = [torch.device("cpu"), torch.device("meta", 0), torch.device("meta", 1)]
    parameters = torch.nn.Module.parameters

    class Elsewhere:
        def __init__(self, device):
            self.device = device

    class Sharded(loop.Trainer):
        def __init__(self, spec, setup, *args, **options):
            with monkeypatch.context() as patch:
                patch.setattr(
                    torch.nn.Module, "parameters",
                    lambda model: [*parameters(model), *map(Elsewhere, cards[1:])] if model is setup.model
                    else parameters(model),
                )  # fmt: skip
                super().__init__(spec, setup, *args, **options)

    monkeypatch.setattr(run, "Trainer", Sharded)
    row_of(tiny("mezo"))
    # Two calls for each step, for each of three validations, and for the test.
    assert waited == [cards] * 2 * (STEPS + 3 + 1)


def test_evaluations_do_not_outnumber_steps():
    row = row_of(tiny("sgd", steps=2, evaluations=5))
    assert [point["step"] for point in row["curve"]] == [0, 1, 2]


def broken_at(monkeypatch, steps, per_step):
    """Make the training losses NaN in these steps."""
    loss, calls = Scorer.loss, []

    def wrapped(self, batch):
        calls.append(len(batch))
        return loss(self, batch) * (math.nan if (len(calls) - 1) // per_step in steps else 1.0)

    monkeypatch.setattr(Scorer, "loss", wrapped)


@pytest.mark.medium
@pytest.mark.parametrize("method", ["addax", "mezo", "ip-sgd", "sgd", "adam"])
def test_steps_that_are_not_finite_are_skipped_and_counted(monkeypatch, method):
    per_step = COUNTS[method][0] // STEPS
    broken_at(monkeypatch, {1, 2, 22}, per_step)
    row = row_of(tiny(method, steps=22))
    assert (row["status"], row["steps"], row["skipped_steps"]) == ("done", 22, 2)
    assert math.isfinite(row["curve"][-1]["loss"])
    assert all(0 < point["train_loss"] < 10 for point in row["curve"][1:])


@pytest.mark.parametrize("method", ["addax", "mezo", "ip-sgd", "sgd", "adam"])
def test_twenty_consecutive_skips_fail_the_run_with_a_reason(monkeypatch, method):
    per_step = COUNTS[method][0] // STEPS
    broken_at(monkeypatch, {0, *range(2, 50)}, per_step)
    row = row_of(tiny(method, steps=60, evaluations=1))
    assert (row["status"], row["steps"], row["skipped_steps"]) == ("failed", 22, 21)
    assert "not finite in 20 consecutive steps" in row["reason"]
    assert (row["score"], row["test"], row["validation"], row["best_step"]) == (None, None, None, None)
    assert len(row["curve"]) == 1
    json.dumps(row)


def folder_with(path, **changes):
    """Copy nano-opt with changes to its configuration; return the folder."""
    shutil.copytree(models.WEIGHTS / "nano-opt", path)
    file = path / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    return str(path)


@pytest.mark.parametrize("dropout", [True, False])
def test_only_first_order_losses_use_dropout_and_only_if_the_spec_says_so(tmp_path, monkeypatch, dropout):
    name = folder_with(tmp_path / "dropping", dropout=0.5)
    loss, equal = Scorer.loss, {True: set(), False: set()}

    def twice(self, batch):
        assert self.model.training
        first, second = loss(self, batch), loss(self, batch)
        equal[torch.is_grad_enabled()].add(first.item() == second.item())
        return first

    monkeypatch.setattr(Scorer, "loss", twice)
    assert row_of(tiny("addax", model=name, dropout=dropout))["status"] == "done"
    assert equal == {False: {True}, True: {not dropout}}


@pytest.mark.medium
@pytest.mark.parametrize("method", [m for m in METHODS if "fo_loss" in method_class(m).closures])
def test_gradient_checkpointing_lowers_memory_and_changes_no_loss(method, monkeypatch):
    layers = []

    def load(*args, **kwargs):
        loaded = original(*args, **kwargs)
        loaded.model.model.decoder.layers[0].fc1.register_forward_hook(
            lambda *_: layers.append(torch.is_grad_enabled())
        )
        return loaded

    original = models.load
    monkeypatch.setattr(models, "load", load)
    rows, recomputed = [], []
    for checkpointing in (False, True):
        layers.clear()
        rows.append(
            row_of(tiny(method, task="boolq", fo_batch_size=8, gradient_checkpointing=checkpointing, lr=1e-2))
        )
        recomputed.append(sum(layers))
    plain, checkpointed = rows
    # The memory measurement runs one more step, on the heaviest batches.
    assert recomputed == [STEPS + 1, 2 * (STEPS + 1)]
    for a, b in zip(plain["curve"], checkpointed["curve"], strict=True):
        assert a["loss"] == pytest.approx(b["loss"], abs=1e-6)
        assert a["train_loss"] == pytest.approx(b["train_loss"], abs=1e-6)
    assert checkpointed["peak_bytes"] < plain["peak_bytes"]


def test_progress_grows_to_one():
    spec, seen = tiny("sgd"), []
    row_of(spec, progress=lambda fraction, text: seen.append((fraction, text)))
    fractions = [fraction for fraction, _ in seen]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    assert all(text for _, text in seen)
