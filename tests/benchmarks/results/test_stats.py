"""Tests of bootstrap intervals and of the spread over seeds against closed forms."""

from math import sqrt

import numpy as np
import pytest
from scipy.stats import norm

from benchmarks.results import stats
from benchmarks.results.frame import Results
from tests.benchmarks.results.result_rows import runs


def selected(rows):
    return Results.of(rows).selected


def test_an_interval_of_many_values_is_that_of_the_normal_distribution():
    values = np.random.default_rng(0).normal(3.0, 2.0, 2000)
    low, high = stats.interval(values)
    half = norm.isf(0.025) * values.std(ddof=1) / sqrt(len(values))
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.05 * half)
    assert stats.interval(values) == (low, high)


def test_an_interval_needs_three_values():
    assert np.isnan(stats.interval(np.array([0.1, 0.2]))).all()
    assert stats.interval(np.array([0.5, 0.5, 0.5])) == (0.5, 0.5)
    low, high = stats.interval(np.array([0.1, 0.2, 0.6]))
    assert 0.1 <= low < 0.3 < high <= 0.6


def test_the_effects_of_both_kinds_of_seeds_are_separated():
    """With score = 0.5 + 0.1 data_seed + 0.01 seed, the spreads over the seeds 0, 1, 2 are 0.1 and 0.01."""
    crossed = {(s, d): 0.5 + 0.1 * d + 0.01 * s for s in range(3) for d in range(3)}
    line = stats.intervals(selected(runs({"addax": crossed}))).iloc[0]
    assert (line["n"], line["seeds"], line["data_seeds"], line["varies"]) == (9, 3, 3, "both")
    assert line["mean"] == pytest.approx(0.61)
    assert (line["spread_seed"], line["spread_data"]) == pytest.approx((0.01, 0.1))
    # Runs on the same data are not independent, so the interval is over the three data seeds.
    assert line["resampled"] == "data seeds"
    assert (line["ci_low"], line["ci_high"]) == stats.interval(np.array([0.51, 0.61, 0.71]))


def test_runs_on_the_same_data_are_never_resampled_as_independent():
    """Two data seeds are too few to resample, and unequal numbers of runs have another mean."""
    few = {(s, d): 0.9 - 0.3 * d + 0.01 * s for s in range(3) for d in range(2)}
    unequal = {(0, 0): 0.9, (1, 0): 0.8, (0, 1): 0.7, (0, 2): 0.6, (0, 3): 0.5}
    for scores in (few, unequal):
        line = stats.intervals(selected(runs({"addax": scores}))).iloc[0]
        assert line["resampled"] == "data seeds"
        assert np.isnan(line["ci_low"])
        assert line["mean"] == pytest.approx(np.mean([*scores.values()]))


@pytest.mark.parametrize(
    ("seeds", "varies"),
    [([(0, 0), (1, 0)], "seed"), ([(0, 0), (0, 1)], "data_seed"), ([(0, 0), (1, 1)], "together"),
     ([(3, 4)], "nothing")],
)  # fmt: skip
def test_a_seed_that_does_not_vary_alone_has_no_spread(seeds, varies):
    line = stats.intervals(selected(runs({"adam": dict.fromkeys(seeds, 0.5)}))).iloc[0]
    assert line["varies"] == varies
    assert np.isnan(line["spread_seed"]) == (varies != "seed")
    assert np.isnan(line["spread_data"]) == (varies != "data_seed")
    assert np.isnan(line["ci_low"])


def test_no_rows_give_an_empty_table():
    assert len(stats.intervals(selected([]))) == 0
