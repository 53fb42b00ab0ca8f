"""Tests of paired tests, their intervals, and Holm's correction against enumeration and other libraries."""

from itertools import combinations, product
from math import comb

import numpy as np
import pytest
from scipy.stats import permutation_test

from benchmarks.results import paired
from benchmarks.results.frame import Results
from benchmarks.results.stats import LEVEL
from tests.benchmarks.results import result_rows as made
from tests.benchmarks.results.result_rows import runs


def compared(rows):
    return paired.pairs(Results.of(rows).selected)


@pytest.mark.parametrize("n", [2, 5, 9, 12])
def test_sign_flips_are_counted_by_enumeration(n):
    differences = np.random.default_rng(n).normal(0.4, 1.0, n)
    means = [np.mean(np.multiply(signs, differences)) for signs in product((1, -1), repeat=n)]
    at_least = np.mean(np.abs(means) >= abs(differences.mean()) - 1e-12)
    assert paired.sign_flip(differences) == pytest.approx(at_least)


def test_27_pairs_are_counted_exactly():
    """The sum of k differences of +1 and 27 - k of -1 is binomial, and many sums are tied."""
    for losses in (0, 4, 8, 13):
        tail = sum(comb(27, k) for k in range(losses + 1)) / 2**27
        differences = 0.1 * np.repeat([-1.0, 1.0], [losses, 27 - losses])
        assert paired.sign_flip(differences) == pytest.approx(2 * tail, rel=1e-12)
        assert paired.sign_flip(-differences) == paired.sign_flip(differences)


@pytest.mark.parametrize("n", [27, 40])
def test_p_values_of_many_pairs_agree_with_scipy(n):
    """Both sides draw at random for n = 40; the standard error of a p-value of 0.04 is then 0.002."""
    differences = np.random.default_rng(1).normal(0.4, 1.2, n)
    oracle = permutation_test(
        (differences,), np.mean, permutation_type="samples", vectorized=True, n_resamples=99_999,
        rng=np.random.default_rng(5),
    ).pvalue  # fmt: skip
    assert 0.001 < oracle < 0.2
    assert paired.sign_flip(differences) == pytest.approx(oracle, rel=0.2)
    # The observed signs count, so no p-value of random draws is below 2 / 10,000.
    assert paired.sign_flip(np.arange(1.0, 41.0)) == 2 / 10_000


def test_six_pairs_can_reach_5_percent_and_five_cannot():
    assert paired.sign_flip(np.arange(1.0, 6.0)) == 2 / 2**5 > LEVEL
    assert paired.sign_flip(np.arange(1.0, 7.0)) == 2 / 2**6 < LEVEL
    assert paired.sign_flip(np.zeros(9)) == paired.sign_flip(np.ones(1)) == 1


@pytest.mark.parametrize("decimals", [1, 9])
@pytest.mark.parametrize("n", [6, 7, 9, 12])
def test_the_ends_of_an_interval_are_means_of_subsets(n, decimals):
    """Hartigan's theorem: 2.5 % of the 2^n means lie beyond each end, counting that of the empty subset."""
    generator, subsets = np.random.default_rng(n), np.array(list(product((0, 1), repeat=n)))[1:]
    for _ in range(40):
        differences = generator.normal(0.5, 1.0, n).round(decimals)
        means = np.sort(subsets @ differences / subsets.sum(axis=1))
        beyond = int(0.025 * 2**n) - 1
        low, high = paired.interval(differences)
        assert (low, high) == pytest.approx((means[beyond], means[-1 - beyond]), abs=2e-7)
        # Ties make both contain zero at once, or neither.
        assert (paired.sign_flip(differences) < LEVEL) == (not low <= 0 <= high)


def test_an_interval_of_many_differences_comes_from_random_subsets():
    differences = np.random.default_rng(3).normal(0.3, 1.0, 40)
    low, high = paired.interval(differences)
    width = high - low
    for end, outward in ((low, -1), (high, 1)):
        # The ends are exact to a few percent of the width.
        assert paired.sign_flip(differences - end - 0.05 * outward * width) < LEVEL
        assert paired.sign_flip(differences - end + 0.05 * outward * width) > LEVEL


def test_an_interval_of_six_differences_is_their_range_and_five_have_none():
    """Of the 2^6 subsets, only the empty one is more extreme than the smallest difference alone."""
    differences = np.array([0.3, 0.1, 0.5, -0.2, 0.4, 0.2])
    assert paired.interval(differences) == pytest.approx((-0.2, 0.5), abs=2e-7)
    assert np.isnan(paired.interval(differences[:5])).all()


@pytest.mark.parametrize("n", [14, 40])
def test_95_percent_of_the_intervals_hold_the_mean(n):
    draws = np.random.default_rng(0).standard_t(4, (1000, n)) + 0.7
    hits = sum(low <= 0.7 <= high for low, high in map(paired.interval, draws))
    # The standard error of 1,000 trials is 0.7 %.
    assert hits / len(draws) == pytest.approx(0.95, abs=0.02)


def test_holms_correction_equals_hand_computed_values():
    """The sorted p-values 0.005, 0.011, 0.02, 0.04 are multiplied by 4, 3, 2, 1 and never decrease."""
    assert paired.holm([0.02, 0.005, 0.04, 0.011]) == pytest.approx([0.04, 0.02, 0.04, 0.033])
    assert paired.holm([1.0, 1.0]) == [1.0, 1.0]


def test_runs_are_paired_by_their_seeds():
    """Adam has seeds 0 to 6 and MeZO 1 to 7; four of the six common pairs differ by 0.1, one by -0.05."""
    adam = {(s, 0): 0.1 * (s % 5) + 0.1 for s in range(7)}
    mezo = {(s, 0): 0.1 * (s % 5) + {3: 0.15, 4: 0.1}.get(s, 0) for s in range(1, 8)}
    tests = compared(runs({"mezo": mezo, "adam": adam})[::-1])
    (line,) = tests.to_dict("records")
    assert (line["a"], line["b"], line["task"], line["n"]) == ("MeZO", "Adam", "sst2", 6)
    assert line["difference"] == pytest.approx(-(4 * 0.1 - 0.05) / 6)
    assert (line["wins"], line["ties"], line["losses"]) == (1, 1, 4)
    # A mean is as far from zero or farther only if the four large differences share a sign. That holds for
    # 2 x 2 x 2 of the 64 patterns.
    assert line["p"] == line["p_holm"] == pytest.approx(8 / 64)
    assert not line["separated"]
    assert paired.winners(tests) == {}


def test_data_seeds_pair_runs_too_and_five_pairs_are_not_tested():
    (line,) = compared(runs({"adam": {(0, 1): 0.5}, "sgd": {(0, 2): 0.4}})).to_dict("records")
    assert (line["n"], line["needed"]) == (0, 6)
    (line,) = compared(runs({"adam": [0.5] * 5, "sgd": [0.4] * 5})).to_dict("records")
    assert (line["n"], line["wins"], line["separated"]) == (5, 0, False)
    assert line["difference"] == pytest.approx(-0.1)
    assert np.isnan([line["p"], line["p_holm"], line["ci_low"], line["ci_high"]]).all()


def three_seeds(shift):
    """Return rows of three methods on nine tasks with three seeds; `shift` maps (task, seed) to a gain."""
    return [
        row
        for index, task in enumerate(made.TITLES)
        for row in runs(
            {
                "sgd": [0.5 + 0.01 * index] * 3,
                "adam": [0.5 + 0.01 * index + shift(index, seed) for seed in range(3)],
                "mezo": [0.3] * 3,
            },
            task,
        )
    ]


def test_the_summary_pools_27_pairs_and_tests_no_single_task():
    """Adam beats SGD in all pairs but two, and is worse there by as much as it is better elsewhere."""
    rows = three_seeds(lambda index, seed: -0.01 if index == 4 and seed else 0.01)
    tests = compared(rows).set_index(["a", "b"])
    assert set(tests["task"]) == {paired.ALL}
    assert set(tests["n"]) == {27}
    line = tests.loc["SGD", "Adam"]
    assert (line["wins"], line["ties"], line["losses"]) == (2, 0, 25)
    assert line["difference"] == pytest.approx(-0.01 * (25 - 2) / 27)
    p = 2 * (1 + 27 + comb(27, 2)) / 2**27
    # Holm's correction multiplies the largest of three p-values by 1.
    assert (line["p"], line["p_holm"]) == pytest.approx((p, p))
    assert tests["separated"].all()
    assert paired.winners(tests.reset_index()) == {("nano-opt", paired.ALL): "Adam"}


def test_methods_that_lack_runs_are_compared_on_the_common_pairs():
    rows = [
        row
        for row in three_seeds(lambda index, seed: 0.01)
        if not (row["label"] == "Adam" and row["config"]["task"] in ("cb", "squad"))
    ]
    counts = {(t["a"], t["b"]): t["n"] for t in compared(rows).to_dict("records")}
    assert counts == {("MeZO", "SGD"): 27, ("MeZO", "Adam"): 21, ("SGD", "Adam"): 21}


def test_a_method_with_few_runs_is_neither_tested_nor_part_of_the_correction():
    """The p-value of 27 wins would be 2 / 2^27 x 6 if the three pairs with Addax-WA counted."""
    rows = three_seeds(lambda index, seed: 0.01)
    few = [made.row(label="Addax-WA", seed=seed) | {"score": 0.9} for seed in range(3)]
    for seed, row in enumerate(few):
        row["config"]["data_seed"] = seed
    tests = compared([*rows, *few])
    untested = tests["a"] == "Addax-WA"
    assert list(tests.loc[untested, "n"]) == [3] * 3
    assert tests.loc[untested, "p"].isna().all()
    assert tests.loc[~untested, "p_holm"].to_list() == pytest.approx([3 * 2 / 2**27] * 3)
    assert paired.winners(tests) == {("nano-opt", paired.ALL): "Adam"}


def test_a_task_is_tested_alone_from_the_number_of_pairs_that_can_be_significant():
    """Three pairs of methods need seven pairs of runs: 3 x 2 / 2^7 < 5 % < 3 x 2 / 2^6."""
    scores = {"addax": [0.9] * 7, "sgd": [0.8] * 7, "mezo": [0.7] * 7}
    short = {method: of[:6] for method, of in scores.items()}
    tests = compared([*runs(scores), *runs(short, "rte")])
    found = dict(list(tests.groupby("task", sort=False)))
    assert {task: set(lines["n"]) for task, lines in found.items()} == {"sst2": {7}, paired.ALL: {13}}
    assert found["sst2"]["p_holm"].to_list() == pytest.approx([3 * 2 / 2**7] * 3)
    assert paired.winners(tests) == {("nano-opt", task): "Addax" for task in ("sst2", paired.ALL)}
    # The only task of a model is its summary.
    assert list(compared(runs(short))["task"]) == ["sst2"] * len(list(combinations(scores, 2)))


def test_zero_shot_is_not_compared():
    tests = compared(runs({"zero-shot": [0.99] * 6, "adam": [0.9] * 6, "sgd": [0.5] * 6}))
    assert set(tests["a"]) | set(tests["b"]) == {"Adam", "SGD"}
    assert paired.winners(tests) == {("nano-opt", "sst2"): "Adam"}


def test_a_failed_run_forms_no_pair():
    rows = [*runs({"adam": [0.9] * 6, "sgd": [0.5] * 5}), made.row("sgd", seed=5, status="failed")]
    assert list(compared(rows)["n"]) == [5]


def test_no_rows_give_an_empty_table():
    assert len(compared([])) == 0
    assert paired.winners(compared([])) == {}
