"""Tests of counters and budgets: examples, forward equivalents, and seconds."""

import pytest

from tests.benchmarks.training.tiny_runs import FO, ROWS, STEPS, ZO, row_of, tiny

# Examples that a step draws, and its forward equivalents. For MeZO-SVRG: means over its two kinds of step.
DRAWN = {"addax": ZO + FO, "mezo": ZO, "ip-sgd": FO, "sgd": FO, "adam": FO, "mezo-svrg": (ROWS + ZO) / 2}
EQUIVALENTS = {
    "addax": 2 * ZO + 3 * FO,
    "mezo": 2 * ZO,
    "ip-sgd": 3 * FO,
    "sgd": 3 * FO,
    "adam": 3 * FO,
    "mezo-svrg": (2 * ROWS + 4 * ZO) / 2,
}


@pytest.mark.medium
@pytest.mark.parametrize("method", DRAWN)
def test_examples_and_forward_equivalents_count_what_a_step_draws_and_computes(method):
    row = row_of(tiny(method))
    assert (row["examples"], row["forward_equivalents"]) == (
        STEPS * DRAWN[method],
        STEPS * EQUIVALENTS[method],
    )
    last = row["curve"][-1]
    assert (last["examples"], last["forward_equivalents"]) == (row["examples"], row["forward_equivalents"])
    assert (row["curve"][0]["examples"], row["curve"][0]["forward_equivalents"]) == (0, 0)


@pytest.mark.parametrize("method", ["addax", "ip-sgd"])
def test_a_recomputed_forward_pass_counts_twice(method):
    row = row_of(tiny(method, gradient_checkpointing=True))
    assert row["forward_equivalents"] == STEPS * (EQUIVALENTS[method] + FO)
    assert row["examples"] == STEPS * DRAWN[method]


@pytest.mark.medium
@pytest.mark.parametrize("method", ["addax", "mezo", "ip-sgd", "mezo-svrg"])
@pytest.mark.parametrize(("budget", "each"), [("examples", DRAWN), ("forward_equivalents", EQUIVALENTS)])
def test_a_budget_of_examples_ends_with_the_step_that_reaches_it(method, budget, each):
    amount = int(3.5 * each[method])
    row = row_of(tiny(method, steps=None, evaluations=1, **{budget: amount}))
    costs = [each[method]] * STEPS
    if method == "mezo-svrg":
        anchor, other = (ROWS, ZO) if budget == "examples" else (2 * ROWS, 4 * ZO)
        costs = [anchor, other] * (STEPS // 2)
    steps = next(n for n in range(1, STEPS + 1) if sum(costs[:n]) >= amount)
    assert (row["steps"], row[budget]) == (steps, sum(costs[:steps]))


def test_a_budget_of_seconds_ends_when_it_is_used():
    row = row_of(tiny("sgd", steps=None, seconds=0.05, evaluations=1))
    assert row["steps"] >= 1
    assert row["curve"][-1]["step"] == row["steps"]
    assert row["train_seconds"] >= 0.05
