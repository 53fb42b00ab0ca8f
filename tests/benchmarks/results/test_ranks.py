"""Tests of ranks against hand-computed values and Demsar's table."""

from math import sqrt

import numpy as np
import pytest

from benchmarks.results import stats
from benchmarks.results.frame import Results
from benchmarks.results.ranks import ranks
from tests.benchmarks.results import result_rows as made
from tests.benchmarks.results.result_rows import runs


def selected(rows):
    return Results.of(rows).selected


def test_ranks_equal_hand_computed_ranks():
    """Ties share a rank, and a method that is out of memory has the worst rank."""
    table = {
        "sst2": {"addax": 0.9, "adam": 0.8, "mezo": 0.7, "sgd": 0.6},
        "rte": {"addax": 0.8, "adam": 0.8, "mezo": 0.7, "sgd": 0.9},
        "cb": {"addax": 0.9, "adam": 0.8, "mezo": 0.1},
    }
    rows = [row for task, scores in table.items() for row in runs({m: [s] for m, s in scores.items()}, task)]
    rows += [made.row("sgd", "cb", status="OOM"), *runs({"ip-sgd": [0.99]})]
    found = ranks(selected(rows))["nano-opt"]
    expected = {"Addax": (1 + 2.5 + 1) / 3, "Adam": (2 + 2.5 + 2) / 3, "MeZO": (3 + 4 + 3) / 3, "SGD": 9 / 3}
    assert found.mean.to_dict() == pytest.approx(expected)
    assert (found.tasks, found.unranked) == (["sst2", "rte", "cb"], ["IP-SGD"])
    # Demsar's table: q of four methods at 5 % is 2.569.
    assert found.critical_difference == pytest.approx(2.569 * sqrt(4 * 5 / (6 * 3)), rel=1e-3)
    # Friedman's test does not reject, so pairs are not tested.
    assert found.friedman_p > stats.LEVEL
    assert (found.p == 1).all(axis=None)


def test_ranks_that_differ_are_tested_pairwise():
    """Three methods have the same order on ten tasks, so Friedman's chi2 is 20.

    The critical difference is 1.05: ranks 1 and 3 differ significantly, ranks 1 and 2 do not.
    """
    tasks = [*made.TITLES, "other"]
    rows = [row for t in tasks for row in runs({"addax": [0.9], "adam": [0.8], "mezo": [0.7]}, t)]
    found = ranks(selected(rows))["nano-opt"]
    assert found.friedman_p == pytest.approx(np.exp(-10))
    assert found.mean.to_dict() == {"Addax": 1, "Adam": 2, "MeZO": 3}
    assert found.critical_difference == pytest.approx(2.343 * sqrt(3 * 4 / 60), rel=1e-3)
    significant = found.p < stats.LEVEL
    assert significant.loc["Addax", "MeZO"]
    assert not significant.loc["Addax", "Adam"]


def test_rounding_errors_break_no_tie():
    """The means over seeds differ in the last digit, although both sums are 2.522."""
    tied = {"addax": [0.871, 0.814, 0.837], "adam": [0.837, 0.814, 0.871], "mezo": [0.1] * 3}
    assert ranks(selected(runs(tied)))["nano-opt"].mean.to_dict() == {"Addax": 1.5, "Adam": 1.5, "MeZO": 3}


def test_no_rows_have_no_ranks():
    assert ranks(selected([])) == {}
