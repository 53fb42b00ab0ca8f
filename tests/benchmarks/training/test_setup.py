"""Tests of the setup of a run: rejected models, and the learning-rate schedule."""

import pytest

from benchmarks import models
from benchmarks.config.methods import method_class
from benchmarks.errors import UserError
from tests.benchmarks.training.tiny_runs import FO, row_of, tiny


def test_a_model_without_trainable_parameters_is_rejected(monkeypatch):
    def frozen(*args, **kwargs):
        loaded = original(*args, **kwargs)
        loaded.model.requires_grad_(False)
        return loaded

    original = models.load
    monkeypatch.setattr(models, "load", frozen)
    with pytest.raises(UserError, match=r"sgd on nano-opt: .* no trainable parameter"):
        row_of(tiny("sgd"))


@pytest.fixture
def rates(monkeypatch):
    """Record the learning rate of every step; the last entry is the step that measures memory."""
    seen, step = [], method_class("sgd").step

    def watched(self, **closures):
        seen.append(self.param_groups[0]["lr"])
        return step(self, **closures)

    monkeypatch.setattr(method_class("sgd"), "step", watched)
    return seen


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        ({}, [1e-4, 0.75e-4, 0.5e-4, 0.25e-4, 0.0]),
        ({"steps": None, "examples": 3 * FO}, [1e-4, 2e-4 / 3, 1e-4 / 3, 0.0]),
    ],
)
def test_a_linear_schedule_reaches_zero_at_the_end_of_any_budget(rates, budget, expected):
    row_of(tiny("sgd", schedule="linear", **budget))
    assert rates == pytest.approx(expected)
