"""Tests of comparisons that are fixed before the runs: differences, exact p-values, and Holm's correction."""

from itertools import product
from statistics import mean

import pytest

from benchmarks.results import fixed
from benchmarks.results.frame import Results
from tests.benchmarks.results import result_rows as made

TASKS, SEEDS = ("sst2", "rte", "cb"), range(3)
GAPS = {"Adam": 0.1, "MeZO": -0.05, "IP-SGD": 0.0}


def runs(gaps=GAPS, missing=()):
    """Return runs whose score is that of Addax plus the method's gap and a fixed deviation per pair."""
    rows = []
    for index, (task, seed) in enumerate(product(TASKS, SEEDS)):
        for method, label in (("addax", "Addax"), ("adam", "Adam"), ("mezo", "MeZO"), ("ip-sgd", "IP-SGD")):
            if (label, task) in missing:
                continue
            row = made.row(method, task, seed=seed)
            spread = 0.0 if label == "Addax" else 0.01 * (-1) ** index * (index + 1)
            row["score"] = row["test"]["score"] = 0.5 + gaps.get(label, 0.0) + spread
            rows.append(row)
    return Results.of(rows).runs


def exact(differences):
    """Return the share of all sign patterns whose mean is at least as far from zero as the observed one."""
    observed = abs(mean(differences))
    patterns = list(product((-1, 1), repeat=len(differences)))
    means = (abs(mean(s * d for s, d in zip(signs, differences, strict=True))) for signs in patterns)
    return sum(found >= observed - 1e-12 for found in means) / len(patterns)


def test_p_values_are_exact_and_corrected_over_the_given_comparisons_only():
    found = fixed.against(runs(), "Addax", ["Adam", "MeZO"]).set_index("label")
    pairs = range(len(TASKS) * len(SEEDS))
    p = {name: exact([GAPS[name] + 0.01 * (-1) ** i * (i + 1) for i in pairs]) for name in ("Adam", "MeZO")}
    for name, value in p.items():
        assert found.loc[name, "p"] == pytest.approx(value)
        assert found.loc[name, "n"] == 9
        gap = mean(GAPS[name] + 0.01 * (-1) ** i * (i + 1) for i in pairs)
        assert found.loc[name, "difference"] == pytest.approx(gap)
    small, large = sorted(p.values())
    assert found["p_holm"].min() == pytest.approx(min(1.0, 2 * small))
    assert found["p_holm"].max() == pytest.approx(max(2 * small, large))
    assert found.loc["Adam", "separated"] == (found.loc["Adam", "p_holm"] < 0.05)


def test_a_method_without_pairs_is_not_tested_but_still_counts():
    missing = [("MeZO", task) for task in TASKS]
    found = fixed.against(runs(missing=missing), "Addax", ["Adam", "MeZO"]).set_index("label")
    alone = fixed.against(runs(), "Addax", ["Adam"]).set_index("label")
    assert found.loc["MeZO", "n"] == 0
    assert found.loc["MeZO", ["difference", "p", "p_holm"]].isna().all()
    assert not found.loc["MeZO", "separated"]
    assert found.loc["Adam", "p_holm"] == pytest.approx(2 * alone.loc["Adam", "p"])


def test_too_few_pairs_are_not_tested():
    found = fixed.against(runs(missing=[("Adam", "sst2"), ("Adam", "rte")]), "Addax", ["Adam"])
    assert (found["n"].iloc[0], found["p"].isna().iloc[0]) == (3, True)


def test_the_difference_is_that_of_the_other_method_minus_the_reference():
    (line,) = fixed.against(runs(), "Addax", ["MeZO"]).itertuples()
    (other,) = fixed.against(runs(), "MeZO", ["Addax"]).itertuples()
    assert line.difference == pytest.approx(-other.difference)
    assert line.difference < 0
    assert (line.wins, line.losses) == (other.losses, other.wins)


def test_long_rows_are_compared_by_their_own_scores():
    table = runs()
    table["score_long"] = table["score"].where(table["label"] != "Adam", 0.2)
    (line,) = fixed.against(table, "Addax", ["Adam"], "score_long").itertuples()
    assert line.difference == pytest.approx(-0.3)
