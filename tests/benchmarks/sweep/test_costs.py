"""Tests of the arithmetic from the costs of steps and evaluations to the seconds of a run."""

import dataclasses
import json
import math

import pytest

from benchmarks.config.spec import from_dict
from benchmarks.sweep import timing
from benchmarks.sweep.costs import Costs, Sizes, StepCost, closest, scaled, seconds_of, training_of
from benchmarks.training.counters import RunCounters
from tests.benchmarks.training.tiny_runs import row_of, tiny

ADDAX = [StepCost(0.7, 10, 30)]
SVRG = [StepCost(9.0, 128, 256), StepCost(0.5, 16, 64), StepCost(0.4, 16, 64)]
# One step takes a second, a validation 1,000 and the test 1,000,000, so a sum shows how many there were.
VALIDATION, TEST = 1e3, 1e6
BUDGETS = {"steps": 5, "examples": 50, "forward_equivalents": 201}


def simulated(budget, cycle, done=0.0):
    """Count steps and seconds like the training loop: step until the counters have used the budget."""
    counters = RunCounters({})
    name, amount = budget
    if name == "seconds":
        counters.train_seconds = amount * done
    else:
        for field in ("examples", "forward_equivalents"):
            setattr(counters, field, amount * done if field == name else 0)
    taken, seconds = 0, 0.0
    while True:
        used = taken / amount + done if name == "steps" else counters.budget_fraction(budget)
        if used >= 1 - 1e-12:
            return taken, seconds
        step = cycle[taken % len(cycle)]
        counters.record_step(step.seconds, 1, 0, 0.0, False)
        counters.examples += step.examples
        counters.forward_equivalents += step.forward_equivalents
        taken, seconds = taken + 1, seconds + step.seconds


@pytest.mark.parametrize("cycle", [ADDAX, SVRG], ids=["addax", "svrg"])
@pytest.mark.parametrize("name", ["steps", "seconds", "examples", "forward_equivalents"])
@pytest.mark.parametrize("amount", [1, 2, 3, 7, 128, 161, 1000])
@pytest.mark.parametrize("done", [0.0, 0.5])
def test_a_budget_takes_as_many_steps_as_in_the_training_loop(cycle, name, amount, done):
    steps, seconds = training_of((name, amount), cycle, done)
    expected, total = simulated((name, amount), cycle, done)
    assert steps == expected
    assert math.isclose(seconds, total, rel_tol=1e-9)


def test_a_run_without_training_is_evaluated_once():
    spec = from_dict({"method": "zero-shot", "model": "nano-opt", "task": "sst2"})
    assert seconds_of(spec, Costs(3.0, (), VALIDATION, TEST)) == 3 + VALIDATION + TEST


@pytest.mark.parametrize(
    ("done", "evaluations", "steps"), [(0.0, 1 + 4, 100), (0.1, 4, 90), (0.5, 2, 50), (1.0, 0, 0)]
)
def test_a_checkpoint_leaves_the_rest_of_the_steps_and_evaluations(done, evaluations, steps):
    spec = from_dict(
        {"method": "mezo", "model": "nano-opt", "task": "sst2", "lr": 1e-3, "steps": 100, "evaluations": 4}
    )
    costs = Costs(0.0, (StepCost(1.0, 16, 32),), VALIDATION, TEST)
    assert seconds_of(spec, costs, done) == steps + evaluations * VALIDATION + TEST


@pytest.mark.slow
@pytest.mark.parametrize("method", ["addax", "sgd", "mezo-svrg", "zero-shot"])
def test_a_timing_predicts_the_steps_and_evaluations_of_every_run(method):
    """The seconds are replaced by counts, so the prediction must equal the counters of the runs."""
    timed = timing.measure(tiny(method), None, 5.0)
    cycle = tuple(dataclasses.replace(step, seconds=1.0) for step in timed.costs.cycle)
    assert (timed.costs.validation > 0, timed.costs.test > 0, timed.costs.setup > 0) == (True,) * 3
    costs = Costs(0.0, cycle, VALIDATION, TEST)
    budgets = {"steps": None} if method == "zero-shot" else BUDGETS
    for name, amount in budgets.items():
        spec = tiny(method) if amount is None else tiny(method, **({"steps": None} | {name: amount}))
        row = row_of(spec)
        assert seconds_of(spec, costs) == row["steps"] + len(row["curve"]) * VALIDATION + TEST, name


def test_costs_on_other_rows_are_in_proportion_to_their_tokens():
    full = StepCost(8.0, 100, 200, 4000.0, ("full",))
    minibatch = StepCost(1.0, 16, 64, 500.0, ("zo",))
    costs = Costs(2.0, (full, minibatch), 3.0, 5.0, 600.0, 1000.0)
    sizes = Sizes({"zo": 16.0, "full": 50.0}, {"zo": 1000.0, "full": 1000.0}, 200.0, 4000.0)
    assert scaled(costs, sizes) == Costs(
        2.0,
        (StepCost(2.0, 50, 100, 1000.0, ("full",)), StepCost(2.0, 16, 64, 1000.0, ("zo",))),
        1.0,
        20.0,
        200.0,
        4000.0,
    )


@pytest.mark.parametrize(
    ("tokens", "nearest"), [(10.0, 100.0), (240.0, 100.0), (260.0, 600.0), (9000.0, 600.0)]
)
def test_costs_are_scaled_from_the_rows_of_the_most_similar_length(tokens, nearest):
    """The ratio counts: 245 is the geometric mean of 100 and 600."""
    known = [Costs(1.0, (), 1.0, 1.0, length, 1.0) for length in (100.0, 600.0)]
    assert closest(known, Sizes({}, {}, tokens, 1.0)).validation_tokens == nearest


def test_costs_survive_a_file():
    costs = Costs(1.0, (StepCost(0.5, 4, 8, 100.0, ("zo", "fo")),), 2.0, 3.0, 4.0, 5.0)
    assert Costs.from_dict(json.loads(json.dumps(costs.as_dict()))) == costs
