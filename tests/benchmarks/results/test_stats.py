"""Tests of intervals, paired tests, and corrections against enumeration and closed forms."""

from itertools import product
from math import sqrt

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from benchmarks.results import stats
from benchmarks.results.frame import Results
from tests.benchmarks.results import result_rows as made
from tests.benchmarks.results.result_rows import runs


def selected(rows):
    return Results.of(rows).selected


@pytest.mark.parametrize("n", [2, 5, 9, 12])
def test_sign_flips_are_counted_by_enumeration(n):
    differences = np.random.default_rng(n).normal(0.4, 1.0, n)
    means = [np.mean(np.multiply(signs, differences)) for signs in product((1, -1), repeat=n)]
    at_least = np.mean(np.abs(means) >= abs(differences.mean()) - 1e-12)
    assert stats.sign_flip(differences) == pytest.approx(at_least)


def test_six_pairs_can_reach_5_percent_and_five_cannot():
    assert stats.sign_flip(np.arange(1.0, 6.0)) == 2 / 2**5 > stats.LEVEL
    assert stats.sign_flip(np.arange(1.0, 7.0)) == 2 / 2**6 < stats.LEVEL
    assert stats.sign_flip(np.zeros(9)) == stats.sign_flip(np.ones(1)) == 1


def test_holms_correction_equals_hand_computed_values():
    """The sorted p-values 0.005, 0.011, 0.02, 0.04 are multiplied by 4, 3, 2, 1 and never decrease."""
    assert stats.holm([0.02, 0.005, 0.04, 0.011]) == pytest.approx([0.04, 0.02, 0.04, 0.033])
    assert stats.holm([1.0, 1.0]) == [1.0, 1.0]


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


def test_runs_are_paired_by_their_seeds():
    """Adam has seeds 0 to 6 and MeZO 1 to 7; five of the six common pairs differ by 0.1, one by -0.05."""
    adam = {(s, 0): 0.1 * (s % 5) + 0.1 for s in range(7)}
    mezo = {(s, 0): 0.1 * (s % 5) + (0.15 if s == 3 else 0) for s in range(1, 8)}
    tests = stats.pairs(selected(runs({"mezo": mezo, "adam": adam})[::-1]))
    (line,) = tests.to_dict("records")
    assert (line["a"], line["b"], line["task"], line["n"]) == ("MeZO", "Adam", "sst2", 6)
    assert line["difference"] == pytest.approx(-(5 * 0.1 - 0.05) / 6)
    # A mean is as far from zero or farther only if the five large differences share a sign. That holds for
    # 2 x 2 of the 64 patterns.
    assert line["p"] == line["p_holm"] == pytest.approx(4 / 64)
    assert not line["separated"]
    assert stats.winners(tests) == {}


def test_data_seeds_pair_runs_too_and_few_pairs_are_noted():
    tests = stats.pairs(selected(runs({"adam": {(0, 1): 0.5}, "sgd": {(0, 2): 0.4}})))
    assert list(tests["n"]) == [0]
    assert list(tests["note"]) == ["no common pair of seeds"]
    tests = stats.pairs(selected(runs({"adam": [0.5] * 5, "sgd": [0.4] * 5})))
    assert list(tests["note"]) == ["no test can reach 5 % with fewer than 6 pairs"]


def test_pooled_tasks_separate_methods_that_no_single_task_separates():
    """Two tasks with four seeds give eight pairs of runs; with three pairs of methods, p is 3 x 2 / 2^8."""
    scores = {"addax": [0.9] * 4, "sgd": [0.8] * 4, "mezo": [0.7] * 4}
    tests = stats.pairs(selected([*runs(scores), *runs(scores, "rte")]))
    families = tests.groupby("task", sort=False)
    assert list(families.groups) == ["sst2", "rte", stats.ALL]
    assert not families.get_group("sst2")["separated"].any()
    pooled = families.get_group(stats.ALL)
    assert pooled["p_holm"].to_list() == pytest.approx([3 * 2 / 2**8] * 3)
    assert stats.winners(tests) == {("nano-opt", stats.ALL): "Addax"}


def test_zero_shot_is_not_compared():
    tests = stats.pairs(selected(runs({"zero-shot": [0.99] * 6, "adam": [0.9] * 6, "sgd": [0.5] * 6})))
    assert set(tests["a"]) | set(tests["b"]) == {"Adam", "SGD"}
    assert stats.winners(tests) == {("nano-opt", "sst2"): "Adam"}


def test_a_failed_run_forms_no_pair():
    rows = [*runs({"adam": [0.9] * 6, "sgd": [0.5] * 5}), made.row("sgd", seed=5, status="failed")]
    assert list(stats.pairs(selected(rows))["n"]) == [5]


def test_no_rows_give_empty_tables():
    empty = selected([])
    assert isinstance(stats.pairs(empty), pd.DataFrame)
    assert len(stats.pairs(empty)) == len(stats.intervals(empty)) == 0
