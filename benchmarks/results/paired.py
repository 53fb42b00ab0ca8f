"""Paired tests between methods: sign-flip permutation tests, confidence intervals, and Holm's correction.

Two runs form a pair if they have the same task and the same seeds (seed, data_seed), so both use the same
data in the same order. The summary of a model pools the pairs of all tasks.

The sign-flip permutation test of the mean difference assumes that without a difference between two methods,
each paired difference is equally likely to have either sign, independently of the others. Runs of one task
share its distribution of rows, so the pooled test describes new seeds of the same tasks and not new tasks.
Flipping all seeds of a task together would need no independence within tasks, but nine tasks have 2^9 sign
patterns, and after Holm's correction for 15 pairs of methods no such p-value is below 15 x 2 / 2^9 = 0.059.
`benchmarks.results.ranks` compares methods with tasks as blocks.

n differences have 2^n sign patterns, so the p-value is at least 2 / 2^n, and Holm's correction multiplies the
smallest of m p-values by m. With fewer than `pairs_needed(m)` pairs, neither this test nor Wilcoxon's can
reach 5 %. A t-test can, but only if the differences are normal, which three to five values cannot show.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from benchmarks.config.names import is_trained
from benchmarks.results.order import display_order
from benchmarks.results.stats import LEVEL, RESAMPLES, RUN, finished

ALL = "all tasks"
# The largest number of differences whose sign patterns are all counted; each half then has 2^16 sums.
EXACT = 32
# The ends of an interval are located to a hundred-thousandth of a point.
BISECTIONS_TO = 1e-7


def sign_flip(differences: np.ndarray) -> float:
    """Return the two-sided p-value of the sign-flip permutation test of the mean of paired differences.

    It is exact for up to 32 differences. For more, it uses 9,999 draws from a fixed generator and counts the
    observed signs as one more draw. With fewer than two differences it is 1.

    >>> sign_flip(np.array([1.0, 2.0, 3.0])), 2 / 2**3
    (0.25, 0.25)
    """
    values = np.asarray(differences, float)
    if len(values) < 2 or not values.any():
        return 1.0
    # Sums that are equal in exact arithmetic may differ by rounding errors.
    target = abs(values.sum()) - 1e-9 * np.abs(values).sum()
    if len(values) > EXACT:
        signs = np.random.default_rng(0).choice((-1.0, 1.0), (RESAMPLES, len(values)))
        tail = (1 + np.count_nonzero(signs @ values >= target)) / (1 + RESAMPLES)
    else:
        # A sum of all differences is one of the left half plus one of the right half, so 2^(n/2) binary
        # searches count the 2^n sums.
        left, right = (_signed_sums(half) for half in np.array_split(values, 2))
        right.sort()
        tail = float((len(right) - np.searchsorted(right, target - left)).sum() / 2 ** len(values))
    return min(1.0, 2 * tail)


def _signed_sums(values: np.ndarray) -> np.ndarray:
    """Return the sums of n values with every pattern of signs, of shape (2^n,)."""
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums - value, sums + value])
    return sums


def interval(differences: np.ndarray) -> tuple[float, float]:
    """Return the 95 % confidence interval of the mean difference that inverts the sign-flip test.

    It contains the shifts of the differences that the two-sided test does not reject at 5 %, so it needs no
    distribution. Its ends are order statistics of the means of subsets of the differences (Hartigan, Using
    subsample values as typical values, JASA 64, 1969): of all subsets for up to 32 differences, so the
    interval excludes zero exactly if the uncorrected test is significant, and of 9,999 random ones for more.
    Both ends are nan with fewer than `pairs_needed(1)` differences, with which the test rejects no shift.
    """
    values = np.asarray(differences, float)
    if len(values) < pairs_needed(1):
        return float("nan"), float("nan")
    if len(values) <= EXACT:
        low, high = _end(values, values.min()), _end(values, values.max())
        # Where zero itself is an end, bisection may stop on either side of it.
        return (low, high) if sign_flip(values) < LEVEL else (min(low, 0.0), max(high, 0.0))
    chosen = np.random.default_rng(0).integers(0, 2, (RESAMPLES, len(values)))
    sizes = chosen.sum(axis=1)
    means = chosen @ values / np.maximum(sizes, 1)
    # The empty subset stands for the observed signs, which are extreme at every shift.
    rank = round((1 + RESAMPLES) * LEVEL / 2)
    low = np.sort(np.where(sizes, means, -np.inf))[rank - 1]
    high = np.sort(np.where(sizes, means, np.inf))[-rank]
    return float(low), float(high)


def _end(values: np.ndarray, extreme: float) -> float:
    """Return the shift between the mean and an extreme value beyond which the test rejects every shift."""
    inside, outside = float(values.mean()), extreme + BISECTIONS_TO * np.sign(extreme - values.mean())
    while abs(outside - inside) > BISECTIONS_TO:
        middle = (inside + outside) / 2
        if sign_flip(values - middle) < LEVEL:
            outside = middle
        else:
            inside = middle
    return inside


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
    """Return paired tests between all trained methods of each model, over all its tasks and seeds.

    A single task is tested, too, if enough of its runs form pairs for a significant difference. Methods with
    fewer than `pairs_needed(1)` common pairs of runs are not tested against each other. Holm's correction
    covers all other pairs of methods: those over all tasks of a model, or those on one task. The mean
    difference over all tasks weights tasks equally only if they have equal numbers of pairs of runs.

    Args:
        selected: `benchmarks.results.frame.Results.selected`.

    Returns:
        One line per pair of methods: model, task (`ALL` for the test over several tasks), title, a and b
        (labels in the fixed order), n (pairs of runs), needed (the smallest n that can be significant after
        the correction), difference (mean score of a minus that of b), ci_low and ci_high (see
        `interval`), wins, ties, and losses (pairs of runs in which a is better than, equal to, and worse than
        b), p and p_holm (nan if not tested), and separated (whether p_holm is below 5 %).
    """
    lines: list[dict] = []
    for model, runs in finished(selected).groupby("model", sort=False):
        trained = runs[runs["label"].map(is_trained).astype(bool)]
        tasks = display_order(trained, "task")
        for task in [*tasks, ALL] if len(tasks) > 1 else tasks:
            family = _family(trained if task == ALL else trained[trained["task"] == task])
            alone = task != ALL and len(tasks) > 1
            if alone and all(line["n"] < line["needed"] for line in family):
                continue
            title = task if task == ALL else trained.loc[trained["task"] == task, "title"].iloc[0]
            lines += [{"model": model, "task": task, "title": title, **line} for line in family]
    columns = ["model", "task", "title", "a", "b", "n", "needed", "difference", "ci_low", "ci_high", "wins",
               "ties", "losses", "p", "p_holm", "separated"]  # fmt: skip
    return pd.DataFrame(lines, columns=columns)


def _family(runs: pd.DataFrame) -> list[dict]:
    """Return a line for each pair of methods in some runs, with p-values corrected over all of them."""
    found = list(_differences(runs))
    tested = [values for *_, values in found if len(values) >= pairs_needed(1)]
    needed = pairs_needed(len(tested) or max(len(found), 1))
    # No method is tested if even the smallest p-value cannot be significant.
    if all(len(values) < needed for values in tested):
        tested = []
    p_values = [sign_flip(values) for values in tested]
    corrected = iter(zip(p_values, holm(p_values), strict=True))
    lines = []
    for a, b, values in found:
        untested = not tested or len(values) < pairs_needed(1)
        p, p_holm = (float("nan"), float("nan")) if untested else next(corrected)
        low, high = interval(values)
        lines.append(
            {
                "a": a,
                "b": b,
                "n": len(values),
                "needed": needed,
                "difference": float(values.mean()) if len(values) else float("nan"),
                "ci_low": low,
                "ci_high": high,
                "wins": int((values > 0).sum()),
                "ties": int((values == 0).sum()),
                "losses": int((values < 0).sum()),
                "p": p,
                "p_holm": p_holm,
                "separated": p_holm < LEVEL,
            }
        )
    return lines


def _differences(runs: pd.DataFrame) -> Iterator[tuple[str, str, np.ndarray]]:
    """Yield each pair of methods with the differences of their scores, one per common task and seeds."""
    wide = runs.pivot_table("score", ["task", *RUN], "label", aggfunc="first")
    for a, b in combinations(display_order(runs, "label"), 2):
        yield a, b, (wide[a] - wide[b]).dropna().to_numpy()


def winners(tests: pd.DataFrame) -> dict[tuple[str, str], str]:
    """Map (model, task) to the method that is significantly better than every other tested method.

    Only such a method is bold in a table. The task `ALL` stands for the column of means.

    Args:
        tests: the result of `pairs`.
    """
    found = {}
    for cell, family in tests[tests["p"].notna()].groupby(["model", "task"], sort=False):
        labels = dict.fromkeys([*family["a"], *family["b"]])
        for label in labels:
            won = (family["a"] == label) & (family["difference"] > 0)
            won |= (family["b"] == label) & (family["difference"] < 0)
            if (won & family["separated"]).sum() == len(labels) - 1:
                found[cell] = label
    return found
