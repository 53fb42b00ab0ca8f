"""Tests of the timing of a few steps of a run."""

from types import SimpleNamespace

import pytest
import torch

from baselines.mezo import MeZO
from baselines.mezo_svrg import MeZOSVRG
from benchmarks.sweep import timing
from benchmarks.training.batches import by_length
from benchmarks.training.loop import Trainer
from tests.benchmarks.training.tiny_runs import tiny

LINEAR = torch.nn.Linear(2, 1)


def loss():
    return LINEAR(torch.ones(1, 2)).square().mean()


@pytest.mark.parametrize("every", [1, 2, 5])
def test_the_cycle_of_a_method_is_found_from_what_its_steps_need(every):
    optimizer = MeZOSVRG(LINEAR, lr=0.0, anchor_every=every)
    optimizer.step(full_loss=loss)
    assert timing.cycle_of(optimizer) == [("full_loss",), *[("zo_loss",)] * (every - 1)]
    assert optimizer.steps == 1


def test_a_method_with_one_kind_of_step_has_a_cycle_of_one_step():
    assert timing.cycle_of(MeZO(LINEAR, lr=0.0)) == [("zo_loss",)]


class Draws:
    """Batches of one example; the draw at step n has 1 to 16 tokens, and all others have 8."""

    assignment = heavier = None

    def at(self, step):
        return {"zo": [step]}

    def of(self, indices):
        return {part: [SimpleNamespace(length=self.length(i)) for i in few] for part, few in indices.items()}

    def length(self, step):
        return {3: 1, 4: 16, 5: 9}.get(step, 8)


def test_a_typical_batch_is_that_of_the_most_usual_size_whatever_the_step():
    batches = timing.TypicalBatches(Draws())
    lengths = [Draws().length(step) for step in range(timing.DRAWS)]
    assert batches.tokens == {"zo": sum(lengths) / len(lengths)}
    assert Draws().length(batches.at(0)["zo"][0]) == 8
    assert batches.at(0) == batches.at(4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "changes"), [("addax", {}), ("mezo-svrg", {}), ("zero-shot", {"demonstrations": 2})]
)
def test_sizes_without_weights_are_those_of_a_timing(method, changes):
    spec = tiny(method, train_rows=96, **changes)
    timed, sizes = timing.measure(spec, None, 0.0).costs, timing.sizes(spec, None)
    assert (sizes.validation_tokens, sizes.test_tokens) == (timed.validation_tokens, timed.test_tokens)
    for step in timed.cycle:
        assert step.tokens == sum(sizes.tokens[part] for part in step.parts)
        assert step.examples == sum(sizes.examples[part] for part in step.parts)


@pytest.mark.medium
def test_the_full_loss_is_timed_on_a_part_of_the_rows(monkeypatch):
    seen = []

    def timed_step(trainer):
        seen.append(trainer.optimizer.next_closures())
        rows.append(len(trainer.setup.rows["train"]))
        return real(trainer)

    rows, real = [], timing._timed_step
    monkeypatch.setattr(timing, "_timed_step", timed_step)
    costs = timing.measure(tiny("mezo-svrg", train_rows=96, anchor_every=3), None, 60.0).costs
    assert seen == [("full_loss",), *[("zo_loss",)] * (1 + timing.TIMED)]
    assert set(rows) == {timing.CHUNKS * tiny("mezo-svrg").eval_batch_size}
    assert [step.examples for step in costs.cycle] == [96, 3, 3]
    assert len(by_length([SimpleNamespace(length=1)] * 96, 8)) > timing.CHUNKS


@pytest.mark.medium
def test_a_timing_that_fails_returns_the_reason_in_one_line(monkeypatch):
    spec = tiny("addax", length_threshold=150)
    assert timing.measure(spec, None, 5.0).costs.startswith("task sst2: no training example is longer than")
    assert timing.sizes(spec, None) == timing.measure(spec, None, 5.0).costs

    def full(trainer):
        trainer.phase = "zo"
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3 GiB")

    monkeypatch.setattr(Trainer, "train_step", full)
    assert timing.measure(tiny("mezo"), None, 5.0).costs == "out of memory in zo"

    def broken(trainer):
        raise RuntimeError("first\nsecond")

    monkeypatch.setattr(Trainer, "train_step", broken)
    assert timing.measure(tiny("mezo"), None, 5.0).costs == "RuntimeError: first"
