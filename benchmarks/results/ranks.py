"""Average ranks of methods over tasks, with Friedman's test and Nemenyi's behind it (Demsar, JMLR 7, 2006).

Source: J. Demsar, Statistical comparisons of classifiers over multiple data sets, JMLR 7 (2006).
"""

from collections.abc import Iterator
from math import sqrt
from typing import NamedTuple

import numpy as np
import pandas as pd

from benchmarks.config.names import ZERO_SHOT
from benchmarks.results.order import display_order
from benchmarks.results.stats import LEVEL

MIN_METHODS, MIN_TASKS = 3, 2


class Ranks(NamedTuple):
    """One model's ranks.

    Attributes:
        mean: label -> average rank, 1 is best, of the ranked methods.
        tasks: the blocks.
        unranked: labels that have fewer tasks than the others.
        friedman_p: of the hypothesis that all rank alike; nan below three methods or two tasks.
        p: p-value of each pair by Nemenyi's test, labels down and across; all 1 where Friedman's test does
            not reject, and so no pair is looked at.
        critical_difference: of two average ranks at 5 % by Nemenyi's test.
    """

    mean: pd.Series
    tasks: list[str]
    unranked: list[str]
    friedman_p: float
    p: pd.DataFrame
    critical_difference: float


def ranks(selected: pd.DataFrame) -> dict[str, Ranks]:
    """Return the ranks of the trained methods of each model; ties share a rank.

    A block is a task, its entry the mean test score of the setting chosen on validation. Where a method has
    no finished run and was out of memory, its rank there is the worst, shared by all that were: a method
    that does not fit is no use. A method that has fewer tasks than the others (with a score, or OOM) is not
    ranked; a task that a ranked method lacks is no block.

    Args:
        selected: `benchmarks.results.frame.Results.selected`.
    """
    return {model: _of(entries) for model, entries in _entries(selected)}


def _of(entries: pd.DataFrame) -> Ranks:
    from scikit_posthocs import posthoc_nemenyi_friedman
    from scipy.stats import friedmanchisquare, studentized_range

    counts = entries.notna().sum()
    blocks = entries.loc[:, counts == counts.max()].dropna()
    tasks, methods = blocks.shape
    unranked = [label for label in entries if label not in blocks]
    mean = blocks.rank(axis=1, ascending=False).mean()
    p = pd.DataFrame(1.0, blocks.columns, blocks.columns)
    if methods < MIN_METHODS or tasks < MIN_TASKS:
        return Ranks(mean, list(blocks.index), unranked, float("nan"), p, float("nan"))
    # Where every method has the same score on every task there is nothing to test.
    tied = (blocks.nunique(axis=1) == 1).all()
    friedman = 1.0 if tied else float(friedmanchisquare(*blocks.to_numpy().T).pvalue)
    if friedman < LEVEL:
        values = posthoc_nemenyi_friedman(blocks.to_numpy())
        p = pd.DataFrame(values.to_numpy(), blocks.columns, blocks.columns)
    q = studentized_range.isf(LEVEL, methods, np.inf) / sqrt(2)
    critical = float(q * sqrt(methods * (methods + 1) / (6 * tasks)))
    return Ranks(mean, list(blocks.index), unranked, friedman, p, critical)


def _entries(selected: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """For each model the mean scores, tasks down and trained methods across; -inf where out of memory."""
    trained = selected[selected["label"] != ZERO_SHOT]
    for model in display_order(trained, "model"):
        here = trained[trained["model"] == model]
        means = here[here["outcome"] == "done"].groupby(["task", "label"])["score"].mean()
        memory = here[here["outcome"] == "OOM"].groupby(["task", "label"]).size()
        lost = memory.index.difference(means.index)
        entries = pd.concat([means, pd.Series(-np.inf, lost)]).unstack("label")
        if len(entries):
            yield (
                model,
                entries.reindex(index=display_order(here, "task"), columns=display_order(here, "label")),
            )
