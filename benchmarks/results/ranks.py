"""Average ranks of methods over tasks, with Friedman's test followed by Nemenyi's test.

Source: J. Demsar, Statistical comparisons of classifiers over multiple data sets, JMLR 7 (2006).
"""

from collections.abc import Iterator
from math import sqrt
from typing import NamedTuple

import numpy as np
import pandas as pd

from benchmarks.config.names import is_trained
from benchmarks.results.order import display_order
from benchmarks.results.select import DIGITS
from benchmarks.results.stats import LEVEL

MIN_METHODS, MIN_TASKS = 3, 2


class Ranks(NamedTuple):
    """The ranks of the methods on one model.

    Attributes:
        mean: label -> average rank of the ranked methods; 1 is best.
        tasks: the tasks that the ranks are averaged over.
        unranked: labels of methods that lack tasks and are therefore not ranked.
        friedman_p: p-value of Friedman's test that all methods rank equally; nan with fewer than three
            methods or two tasks.
        p: p-value of each pair by Nemenyi's test, with labels as rows and columns. All are 1 if Friedman's
            test does not reject, because pairs are then not tested.
        critical_difference: the smallest significant difference of two average ranks at 5 % (Nemenyi).
    """

    mean: pd.Series
    tasks: list[str]
    unranked: list[str]
    friedman_p: float
    p: pd.DataFrame
    critical_difference: float


def ranks(selected: pd.DataFrame) -> dict[str, Ranks]:
    """Return the ranks of the trained methods by model; ties share a rank.

    Methods are ranked on each task by the mean test score of the setting selected on validation data. A
    method that ran out of memory on a task and has no finished run shares the worst rank there with all other
    such methods. A method that has fewer tasks than the others (with a score, or OOM) is not ranked.
    Tasks that a ranked method lacks are ignored.

    Args:
        selected: `benchmarks.results.frame.Results.selected`.
    """
    return {model: _of(entries) for model, entries in _entries(selected)}


def _of(entries: pd.DataFrame) -> Ranks:
    from scikit_posthocs import posthoc_nemenyi_friedman
    from scipy.stats import friedmanchisquare, studentized_range

    counts = entries.notna().sum()
    blocks = entries.loc[:, counts == counts.max()].dropna().round(DIGITS)
    tasks, methods = blocks.shape
    unranked = [label for label in entries if label not in blocks]
    mean = blocks.rank(axis=1, ascending=False).mean()
    p = pd.DataFrame(1.0, blocks.columns, blocks.columns)
    if methods < MIN_METHODS or tasks < MIN_TASKS:
        return Ranks(mean, list(blocks.index), unranked, float("nan"), p, float("nan"))
    # Friedman's test is undefined if all methods have equal scores on every task.
    tied = (blocks.nunique(axis=1) == 1).all()
    friedman = 1.0 if tied else float(friedmanchisquare(*blocks.to_numpy().T).pvalue)
    if friedman < LEVEL:
        values = posthoc_nemenyi_friedman(blocks.to_numpy())
        p = pd.DataFrame(values.to_numpy(), blocks.columns, blocks.columns)
    q = studentized_range.isf(LEVEL, methods, np.inf) / sqrt(2)
    critical = float(q * sqrt(methods * (methods + 1) / (6 * tasks)))
    return Ranks(mean, list(blocks.index), unranked, friedman, p, critical)


def _entries(selected: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield each model with its mean scores (tasks x trained methods); -inf means out of memory."""
    trained = selected[selected["label"].map(is_trained).astype(bool)]
    for model in display_order(trained, "model"):
        subset = trained[trained["model"] == model]
        means = subset[subset["outcome"] == "done"].groupby(["task", "label"])["score"].mean()
        memory = subset[subset["outcome"] == "OOM"].groupby(["task", "label"]).size()
        lost = memory.index.difference(means.index)
        entries = pd.concat([means, pd.Series(-np.inf, lost)]).unstack("label")
        if len(entries):
            yield (
                model,
                entries.reindex(index=display_order(subset, "task"), columns=display_order(subset, "label")),
            )
