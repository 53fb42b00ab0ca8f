"""Tests that runs evaluate, keep, and save the averaged weights of a method that averages its iterates."""

import math

import pytest
import torch

from benchmarks.training import archive, loop
from benchmarks.training import run as train
from benchmarks.training.state import weights_of
from tests.benchmarks.training.resumable_runs import STEPS, checkpoints_of, numbers, spec_of, stop_after
from tests.packages import NEEDS

pytestmark = NEEDS["schedule-free"]
B1 = 0.9


def copied(model):
    return {name: t.clone() for name, t in weights_of(model).items()}


def averaged(trainer):
    """Return x = y + (1 - 1 / b1) (z - y), in float64, from the weights y that the model trains."""
    names = {p: name for name, p in trainer.model.named_parameters()}
    state = trainer.optimizer.inner[0].state
    found = {name: t.double() for name, t in copied(trainer.model).items()}
    for p, name in names.items():
        if "z" in state[p]:
            found[name] = found[name] + (1 - 1 / B1) * (state[p]["z"].double() - found[name])
    return found


def distance(weights, expected):
    return max((weights[name].double() - expected[name].double()).abs().max().item() for name in expected)


class Watched(loop.Trainer):
    """A trainer that records y and x after each step, and the weights of each evaluation.

    Attributes:
        made: the trainers that were built.
    """

    made: list["Watched"] = []  # noqa: RUF012

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.trained, self.averages, self.evaluated = {}, {0: averaged(self)}, []
        self.made.append(self)

    def train_step(self):
        step = self.counters.steps
        if step in self.trained:
            assert distance(copied(self.model), self.trained[step]) == 0
        super().train_step()
        self.trained[step + 1], self.averages[step + 1] = copied(self.model), averaged(self)

    def results(self, split):
        self.evaluated.append((split, self.counters.steps, copied(self.model)))
        return super().results(split)


@pytest.fixture
def watched(monkeypatch):
    monkeypatch.setattr(Watched, "made", [])
    monkeypatch.setattr(train, "Trainer", Watched)
    return Watched.made


@pytest.mark.medium
def test_every_evaluation_and_the_best_weights_are_the_average_and_training_continues_at_y(watched):
    """`train_step` checks that each step starts from the bits that the step before it left."""
    spec = spec_of("schedule-free", "nano-opt", lr=5e-3)
    row = train.run(spec, train.load(spec, None), suite="s")
    (trainer,) = watched
    assert [split for split, *_ in trainer.evaluated] == ["validation"] * 7 + ["test"]
    for split, step, weights in trainer.evaluated:
        step = row["best_step"] if split == "test" else step
        assert distance(weights, trainer.averages[step]) < 1e-6
        # The test would not notice the wrong weights if they were equal.
        assert step == 0 or distance(trainer.trained[step], trainer.averages[step]) > 1e-4
    best = trainer.averages[row["best_step"]]
    assert distance(trainer.best_weights, best) < 1e-6
    # What is saved after the run is what the test rows were scored with.
    assert distance(copied(trainer.model), best) < 1e-6


@pytest.mark.medium
def test_a_checkpoint_holds_the_average_and_resumes_at_y(watched, monkeypatch, tmp_path):
    """Some stops are at the best step, whose checkpoint has no other weights, and some are not."""
    spec = spec_of("schedule-free", "nano-opt", lr=5e-3)
    splits = train.load(spec, None)
    whole = numbers(train.run(spec, splits, suite="s"))
    shared = []
    for step in (2, 3, STEPS - 1):
        runs = tmp_path / str(step)
        first = stop_after(monkeypatch, spec, splits, runs, step)
        trainer = watched[-1]
        last = archive.read(first.folder / "last.pt")
        at = len(last["counters"]["step_seconds"])
        shared.append(last["weights"] is None)
        weights = archive.read(first.folder / last["best"]) if shared[-1] else last["weights"]
        assert distance(weights, trainer.averages[at]) < 1e-6
        assert distance(weights, trainer.trained[at]) > 1e-4
        again = checkpoints_of(spec, splits)
        assert again.open() == at
        row = train.run(spec, splits, suite="s", checkpoints=again)
        assert row["resumed_at_steps"] == [at]
        assert numbers(row) == whole
    assert set(shared) == {True, False}


@pytest.mark.medium
def test_the_test_rows_are_scored_with_the_average_if_no_weights_are_the_best(watched, monkeypatch):
    monkeypatch.setattr(loop.RunCounters, "record_best", lambda counters: False)
    # It takes another step.
    monkeypatch.setattr(Watched, "measure_heaviest_step", lambda trainer: None)
    spec = spec_of("schedule-free", "nano-opt", lr=5e-3, steps=3, evaluations=1)
    train.run(spec, train.load(spec, None), suite="s")
    (trainer,) = watched
    split, step, weights = trainer.evaluated[-1]
    assert (split, step) == ("test", 3)
    assert distance(weights, trainer.averages[3]) < 1e-6
    assert distance(trainer.trained[3], trainer.averages[3]) > 1e-4


def test_the_weights_to_train_come_back_when_an_evaluation_fails():
    from torch import nn

    from baselines.third_party.schedule_free import ScheduleFree

    model = nn.Linear(3, 2)
    opt = ScheduleFree(model, lr=0.1)
    opt.step(fo_loss=lambda: model(torch.ones(1, 3)).square().sum())
    opt.step(fo_loss=lambda: model(torch.ones(1, 3)).square().sum())
    before = copied(model)

    def interrupted():
        with opt.evaluation_weights():
            assert distance(copied(model), before) > 0
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert distance(copied(model), before) == 0
    stats = opt.step(fo_loss=lambda: model(torch.ones(1, 3)).square().sum())
    assert math.isfinite(stats.loss)
