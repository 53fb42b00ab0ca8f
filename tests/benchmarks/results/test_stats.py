"""Intervals, paired tests, corrections and ranks against enumeration, closed forms and sums by hand."""

from itertools import product
from math import sqrt

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from benchmarks.results import stats as statistics
from benchmarks.results.frame import frame
from benchmarks.results.ranks import ranks
from tests.benchmarks.results import result_rows as made


def runs(scores, task="sst2", status="done"):
    """Rows of methods: (seed, data_seed) -> score, or a list with both seeds counting up."""
    rows = []
    for method, own in scores.items():
        own = own if isinstance(own, dict) else {(k, k): score for k, score in enumerate(own)}
        for (seed, data_seed), score in own.items():
            row = made.row(method, task, seed=seed, status=status) | {"score": score}
            row["config"]["data_seed"] = data_seed
            rows.append(row)
    return rows


@pytest.mark.parametrize("n", [2, 5, 9, 12])
def test_sign_flips_are_counted_by_enumeration(n):
    differences = np.random.default_rng(n).normal(0.4, 1.0, n)
    means = [np.mean(np.multiply(signs, differences)) for signs in product((1, -1), repeat=n)]
    at_least = np.mean(np.abs(means) >= abs(differences.mean()) - 1e-12)
    assert statistics.sign_flip(differences) == pytest.approx(at_least)


def test_no_five_pairs_can_reach_five_percent_and_six_can():
    assert statistics.sign_flip(np.arange(1.0, 6.0)) == 2 / 2**5 > statistics.LEVEL
    assert statistics.sign_flip(np.arange(1.0, 7.0)) == 2 / 2**6 < statistics.LEVEL
    assert statistics.sign_flip(np.zeros(9)) == statistics.sign_flip(np.ones(1)) == 1


def test_holm_by_hand():
    """Sorted 0.005, 0.011, 0.02, 0.04 times 4, 3, 2, 1, and never below the one before."""
    assert statistics.holm([0.02, 0.005, 0.04, 0.011]) == pytest.approx([0.04, 0.02, 0.04, 0.033])
    assert statistics.holm([1.0, 1.0]) == [1.0, 1.0]


def test_an_interval_is_that_of_the_normal_distribution_where_there_are_many_values():
    values = np.random.default_rng(0).normal(3.0, 2.0, 2000)
    low, high = statistics.interval(values)
    half = norm.isf(0.025) * values.std(ddof=1) / sqrt(len(values))
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.05 * half)
    assert statistics.interval(values) == (low, high)


def test_an_interval_needs_three_values():
    assert np.isnan(statistics.interval(np.array([0.1, 0.2]))).all()
    assert statistics.interval(np.array([0.5, 0.5, 0.5])) == (0.5, 0.5)
    low, high = statistics.interval(np.array([0.1, 0.2, 0.6]))
    assert 0.1 <= low < 0.3 < high <= 0.6


def test_the_two_kinds_of_seeds_are_told_apart():
    """score = 0.5 + 0.1 data_seed + 0.01 seed: sample deviations of (0, 1, 2) are 1."""
    crossed = {(s, d): 0.5 + 0.1 * d + 0.01 * s for s in range(3) for d in range(3)}
    line = statistics.summary(frame(runs({"addax": crossed}))).iloc[0]
    assert (line["n"], line["seeds"], line["data_seeds"], line["varies"]) == (9, 3, 3, "both")
    assert line["mean"] == pytest.approx(0.61)
    assert (line["spread_seed"], line["spread_data"]) == pytest.approx((0.01, 0.1))
    # Runs on the same rows are no independent draws: the interval is over the three data seeds.
    assert line["resampled"] == "data seeds"
    assert (line["ci_low"], line["ci_high"]) == statistics.interval(np.array([0.51, 0.61, 0.71]))


@pytest.mark.parametrize(
    ("seeds", "varies"),
    [([(0, 0), (1, 0)], "seed"), ([(0, 0), (0, 1)], "data_seed"), ([(0, 0), (1, 1)], "together"),
     ([(3, 4)], "nothing")],
)  # fmt: skip
def test_what_does_not_vary_alone_has_no_spread(seeds, varies):
    line = statistics.summary(frame(runs({"adam": dict.fromkeys(seeds, 0.5)}))).iloc[0]
    assert line["varies"] == varies
    assert np.isnan(line["spread_seed"]) == (varies != "seed")
    assert np.isnan(line["spread_data"]) == (varies != "data_seed")
    assert np.isnan(line["ci_low"])


def test_runs_are_paired_by_their_seeds():
    """Of Adam's seeds 0 to 6 and MeZO's 1 to 7, six are common; differences 0.1 and one of -0.05."""
    adam = {(s, 0): 0.1 * (s % 5) + 0.1 for s in range(7)}
    mezo = {(s, 0): 0.1 * (s % 5) + (0.15 if s == 3 else 0) for s in range(1, 8)}
    tests = statistics.pairs(frame(runs({"mezo": mezo, "adam": adam})[::-1]))
    (line,) = tests.to_dict("records")
    assert (line["a"], line["b"], line["task"], line["n"]) == ("MeZO", "Adam", "sst2", 6)
    assert line["difference"] == pytest.approx(-(5 * 0.1 - 0.05) / 6)
    # As far from zero as that: all signs alike but perhaps the small one's, which is 2 x 2 of 64.
    assert line["p"] == line["p_holm"] == pytest.approx(4 / 64)
    assert not line["separated"]
    assert statistics.winners(tests) == {}


def test_data_seeds_pair_runs_too_and_few_pairs_say_so():
    tests = statistics.pairs(frame(runs({"adam": {(0, 1): 0.5}, "sgd": {(0, 2): 0.4}})))
    assert list(tests["n"]) == [0]
    assert list(tests["note"]) == ["no common pair of seeds"]
    tests = statistics.pairs(frame(runs({"adam": [0.5] * 5, "sgd": [0.4] * 5})))
    assert list(tests["note"]) == ["no test can reach 5 % with fewer than 6 pairs"]


def test_tasks_and_seeds_together_separate_what_no_task_does():
    """Two tasks of four seeds are eight pairs: 2 / 2^8 of three pairs of methods is 0.023."""
    scores = {"addax": [0.9] * 4, "sgd": [0.8] * 4, "mezo": [0.7] * 4}
    tests = statistics.pairs(frame([*runs(scores), *runs(scores, "rte")]))
    families = tests.groupby("task", sort=False)
    assert list(families.groups) == ["sst2", "rte", statistics.ALL]
    assert not families.get_group("sst2")["separated"].any()
    pooled = families.get_group(statistics.ALL)
    assert pooled["p_holm"].to_list() == pytest.approx([3 * 2 / 2**8] * 3)
    assert statistics.winners(tests) == {("nano-opt", statistics.ALL): "Addax"}


def test_zero_shot_is_no_competitor():
    tests = statistics.pairs(frame(runs({"zero-shot": [0.99] * 6, "adam": [0.9] * 6, "sgd": [0.5] * 6})))
    assert set(tests["a"]) | set(tests["b"]) == {"Adam", "SGD"}
    assert statistics.winners(tests) == {("nano-opt", "sst2"): "Adam"}


def test_a_failed_run_is_no_pair():
    rows = [*runs({"adam": [0.9] * 6, "sgd": [0.5] * 5}), made.row("sgd", seed=5, status="failed")]
    assert list(statistics.pairs(frame(rows))["n"]) == [5]


def test_ranks_by_hand():
    """Ties share a rank, and who is out of memory has the worst."""
    table = {
        "sst2": {"addax": 0.9, "adam": 0.8, "mezo": 0.7, "sgd": 0.6},
        "rte": {"addax": 0.8, "adam": 0.8, "mezo": 0.7, "sgd": 0.9},
        "cb": {"addax": 0.9, "adam": 0.8, "mezo": 0.1},
    }
    rows = [row for task, scores in table.items() for row in runs({m: [s] for m, s in scores.items()}, task)]
    rows += [made.row("sgd", "cb", status="OOM"), *runs({"ip-sgd": [0.99]})]
    found = ranks(frame(rows))["nano-opt"]
    expected = {"Addax": (1 + 2.5 + 1) / 3, "Adam": (2 + 2.5 + 2) / 3, "MeZO": (3 + 4 + 3) / 3, "SGD": 9 / 3}
    assert found.mean.to_dict() == pytest.approx(expected)
    assert (found.tasks, found.unranked) == (["sst2", "rte", "cb"], ["IP-SGD"])
    # Demsar's table: q of four methods at 5 % is 2.569.
    assert found.critical_difference == pytest.approx(2.569 * sqrt(4 * 5 / (6 * 3)), rel=1e-3)
    # Friedman does not reject, and so no pair is tested.
    assert found.friedman_p > statistics.LEVEL
    assert (found.p == 1).all(axis=None)


def test_ranks_that_differ_are_tested_pairwise():
    """Three methods in one order on ten tasks: Friedman's chi2 is 20; two ranks exceed CD, one does not."""
    tasks = [*made.TITLES, "other"]
    rows = [row for t in tasks for row in runs({"addax": [0.9], "adam": [0.8], "mezo": [0.7]}, t)]
    found = ranks(frame(rows))["nano-opt"]
    assert found.friedman_p == pytest.approx(np.exp(-10))
    assert found.mean.to_dict() == {"Addax": 1, "Adam": 2, "MeZO": 3}
    assert found.critical_difference == pytest.approx(2.343 * sqrt(3 * 4 / 60), rel=1e-3)
    apart = found.p < statistics.LEVEL
    assert apart.loc["Addax", "MeZO"]
    assert not apart.loc["Addax", "Adam"]


def test_nothing_is_nothing():
    empty = frame([])
    assert isinstance(statistics.pairs(empty), pd.DataFrame)
    assert len(statistics.pairs(empty)) == len(statistics.summary(empty)) == len(ranks(empty)) == 0
