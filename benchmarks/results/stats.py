"""Statistics of result rows: means with intervals, and paired tests between methods.

All statistics use test scores at the setting selected on validation data (`benchmarks.results.select`). Runs
are paired by (seed, data_seed), so both runs of a pair use the same data in the same order. The test is the
sign-flip permutation test of the mean difference. Its only assumption is that without a difference between
methods, each paired difference is equally likely to have either sign. n differences have 2^n sign patterns,
so the p-value is at least 2 / 2^n, and Holm's correction multiplies the smallest of m p-values by m.
With fewer than `pairs_needed(m)` pairs, neither this test nor Wilcoxon's can reach 5 %. A t-test can, but
only if the differences are normal, which three to five values cannot show.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from benchmarks.config.names import ZERO_SHOT
from benchmarks.results.order import display_order

LEVEL = 0.05
RESAMPLES = 9999
MIN_FOR_INTERVAL = 3
RUN = ["seed", "data_seed"]
ALL = "all tasks"


def _done(selected: pd.DataFrame) -> pd.DataFrame:
    """Return the finished runs with a score; a missing seed becomes 0."""
    runs = selected[(selected["outcome"] == "done") & selected["score"].notna()]
    return runs.fillna(dict.fromkeys(RUN, 0))


def intervals(selected: pd.DataFrame) -> pd.DataFrame:
    """Return means over seeds with bootstrap intervals, and the spread over each kind of seed.

    Args:
        selected: `benchmarks.results.frame.Results.selected`.

    Returns:
        One line per model, task, and label with a finished run. Columns: model, task, title, label, metric,
        n (runs), seeds and data_seeds (numbers of distinct seeds), mean, ci_low and ci_high (95 % BCa
        interval of scores in 0..1; nan with fewer than three resampled units), resampled ("runs" or "data
        seeds"), spread_seed, spread_data, and varies. spread_seed is the standard deviation over method
        seeds with equal data, and spread_data is that over data seeds with an equal method seed. Both are
        pooled, include the interaction, and are nan if that seed never varies alone. varies is "seed",
        "data_seed", "both", "together" (each data seed has a different method seed, so their effects cannot
        be separated), or "nothing".
    """
    lines = []
    for (model, task, label), cell in _done(selected).groupby(["model", "task", "label"], sort=False):
        low, high, unit = _interval(cell)
        lines.append(
            {
                "model": model,
                "task": task,
                "title": cell["title"].iloc[0],
                "label": label,
                "metric": cell["metric"].iloc[0],
                "n": len(cell),
                "seeds": cell["seed"].nunique(),
                "data_seeds": cell["data_seed"].nunique(),
                "mean": cell["score"].mean(),
                "ci_low": low,
                "ci_high": high,
                "resampled": unit,
                "spread_seed": _pooled(cell, "data_seed"),
                "spread_data": _pooled(cell, "seed"),
                "varies": _varies(cell),
            }
        )
    columns = ["model", "task", "title", "label", "metric", "n", "seeds", "data_seeds", "mean", "ci_low",
               "ci_high", "resampled", "spread_seed", "spread_data", "varies"]  # fmt: skip
    return pd.DataFrame(lines, columns=columns)


def _interval(cell: pd.DataFrame) -> tuple[float, float, str]:
    """Return a 95 % interval of the mean, and the unit that was resampled.

    Runs on the same data are not independent, so data seeds are resampled if each has several runs.
    """
    by_data = cell.groupby("data_seed")["score"]
    nested = by_data.size().max() > 1 and by_data.ngroups >= MIN_FOR_INTERVAL
    values = by_data.mean() if nested else cell["score"]
    return *interval(values.to_numpy()), "data seeds" if nested else "runs"


def interval(values: np.ndarray) -> tuple[float, float]:
    """Return the 95 % bootstrap interval (BCa, fixed generator) of a mean; nan with fewer than three values.

    If all values are equal, both ends of the interval are that value.
    """
    from scipy.stats import bootstrap

    if len(values) < MIN_FOR_INTERVAL:
        return float("nan"), float("nan")
    if np.ptp(values) == 0:
        return float(values[0]), float(values[0])
    found = bootstrap(
        (values,), np.mean, n_resamples=RESAMPLES, method="BCa", rng=np.random.default_rng(0)
    ).confidence_interval
    return float(found.low), float(found.high)


def _pooled(cell: pd.DataFrame, at_equal: str) -> float:
    """Return the standard deviation within groups of an equal seed, pooled by degrees of freedom."""
    groups = cell.groupby(at_equal)["score"]
    freedom = (groups.size() - 1).sum()
    squares = ((cell["score"] - groups.transform("mean")) ** 2).sum()
    return float(np.sqrt(squares / freedom)) if freedom else float("nan")


def _varies(cell: pd.DataFrame) -> str:
    seeds, data = cell["seed"].nunique() > 1, cell["data_seed"].nunique() > 1
    if seeds and data:
        # If no two runs share a seed of either kind, both seeds change together.
        alone = cell.groupby("seed").size().max() > 1 or cell.groupby("data_seed").size().max() > 1
        return "both" if alone else "together"
    return "seed" if seeds else "data_seed" if data else "nothing"


def sign_flip(differences: np.ndarray) -> float:
    """Return the two-sided p-value of the sign-flip permutation test of the mean of paired differences.

    It is exact up to 13 differences (2^13 sign patterns). For more, it uses 9,999 draws from a fixed
    generator. With fewer than two differences it is 1.

    >>> sign_flip(np.array([1.0, 2.0, 3.0])), 2 / 2**3
    (0.25, 0.25)
    """
    from scipy.stats import permutation_test

    if len(differences) < 2 or not np.any(differences):
        return 1.0
    found = permutation_test(
        (np.asarray(differences, float),),
        np.mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=RESAMPLES,
        rng=np.random.default_rng(0),
    )
    return float(min(found.pvalue, 1.0))


def holm(p: Sequence[float]) -> list[float]:
    """Correct the p-values of one family by Holm's step-down method.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    from statsmodels.stats.multitest import multipletests

    # Skip the slow library call if no p-value is below 1.
    return multipletests(p, LEVEL, "holm")[1].tolist() if min(p, default=1.0) < 1 else list(p)


def pairs_needed(comparisons: int) -> int:
    """Return the smallest number n of pairs of runs that can make one of m comparisons significant.

        m 2 / 2^n < 5 %

    Args:
        comparisons: m, the number of pairs of methods that Holm's correction covers.

    Examples:
        >>> pairs_needed(1), pairs_needed(15)
        (6, 10)
    """
    return math.floor(math.log2(2 * comparisons / LEVEL)) + 1


def pairs(selected: pd.DataFrame) -> pd.DataFrame:
    """Return paired tests between all trained methods, on each task over seeds, and over all tasks and seeds.

    Holm's correction applies within a family: all pairs of methods in one column of a table, which is one
    task of one model or all its tasks. The test over all tasks asks whether two methods differ on any of
    their common tasks. It flips the sign of each pair of runs independently. Its mean weights tasks equally
    only if they have equal numbers of pairs.

    Args:
        selected: `benchmarks.results.frame.Results.selected`.

    Returns:
        One line per pair of methods: model, task (`ALL` for the test over all tasks), title, a and b (labels
        in the fixed order), n (pairs of runs), difference (mean score of a minus that of b, in 0..1), p,
        p_holm, separated (whether p_holm is below 5 %), and note (why no test can be significant; else
        empty).
    """
    lines: list[dict] = []
    for model, runs in _done(selected).groupby("model", sort=False):
        trained = runs[runs["label"] != ZERO_SHOT]
        families = [(task, [task]) for task in display_order(trained, "task")]
        if len(families) > 1:
            families.append((ALL, display_order(trained, "task")))
        for task, within in families:
            family = [
                {"model": model, "task": task, "title": _title(trained, task), "a": a, "b": b, **tested}
                for a, b, tested in _tested(trained[trained["task"].isin(within)])
            ]
            for line, p in zip(family, holm([line["p"] for line in family]), strict=True):
                lines.append(
                    line | {"p_holm": p, "separated": p < LEVEL, "note": _note(line["n"], len(family))}
                )
    columns = ["model", "task", "title", "a", "b", "n", "difference", "p", "p_holm", "separated", "note"]
    return pd.DataFrame(lines, columns=columns)


def _tested(runs: pd.DataFrame) -> Iterator[tuple[str, str, dict]]:
    wide = runs.pivot_table("score", ["task", *RUN], "label", aggfunc="first")
    for a, b in combinations(display_order(runs, "label"), 2):
        differences = (wide[a] - wide[b]).dropna().to_numpy()
        mean = float(differences.mean()) if len(differences) else float("nan")
        yield a, b, {"n": len(differences), "difference": mean, "p": sign_flip(differences)}


def _title(runs: pd.DataFrame, task: str) -> str:
    return task if task == ALL else runs.loc[runs["task"] == task, "title"].iloc[0]


def _note(n: int, comparisons: int) -> str:
    if not n:
        return "no common pair of seeds"
    needed = pairs_needed(comparisons)
    return f"no test can reach 5 % with fewer than {needed} pairs" if n < needed else ""


def winners(tests: pd.DataFrame) -> dict[tuple[str, str], str]:
    """Map (model, task) to the method that is significantly better than every other trained method.

    Only such a method is bold in a table. The task `ALL` stands for the column of means.

    Args:
        tests: the result of `pairs`.
    """
    found = {}
    for cell, family in tests.groupby(["model", "task"], sort=False):
        for label in dict.fromkeys([*family["a"], *family["b"]]):
            of_label = family[(family["a"] == label) | (family["b"] == label)]
            better = np.where(of_label["a"] == label, of_label["difference"], -of_label["difference"]) > 0
            if (of_label["separated"] & better).all():
                found[cell] = label
    return found
