"""Selection of one setting per method by validation score, and averages over seeds.

Test scores are never used for selection.
"""

from collections.abc import Sequence

import pandas as pd

from benchmarks.results.majority import BESIDE

# The key of a table entry: a method on one task with one model.
CELL = ["model", "task", "label"]
MEASURES = ["score", "score_long", "score_short", "auc", "loss", "peak_bytes", "seconds"]
MEASURES += BESIDE.values()
# Means are rounded to so many decimals before they are ordered, so that rounding errors break no tie.
DIGITS = 12


def candidates(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the runs that `select_best_setting` selects from.

    If batch sizes are swept on few tasks, only runs at the method's usual sizes are candidates: those that it
    has on more than half as many tasks as its most common size. Otherwise the sweep would give these tasks
    more trials than the others.
    """
    if not len(runs):
        return runs
    sizes = runs[["zo_batch_size", "fo_batch_size"]].fillna(0).apply(tuple, axis=1).rename("sizes")
    tasks = runs.assign(sizes=sizes).groupby(["model", "method", "sizes"])["task"].nunique()
    usual = set(tasks[2 * tasks > tasks.groupby(["model", "method"]).transform("max")].index)
    keys = zip(runs["model"], runs["method"], sizes, strict=True)
    at_usual = pd.Series([key in usual for key in keys], index=runs.index)
    some = at_usual.groupby([runs[name] for name in CELL]).transform("any")
    return runs[at_usual | ~some]


def select_best_setting(runs: pd.DataFrame) -> pd.DataFrame:
    """Keep the runs of the best setting on validation data for each model, task, and method.

    This takes a pass over all runs; `benchmarks.results.frame.Results.selected` caches the result.
    """
    return keep_best(candidates(runs), CELL)


def keep_best(runs: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Keep the runs of one setting per group, the one with the best mean validation score.

    A setting with fewer runs that did not finish precedes one with more, whatever its score. Ties go to the
    lower validation loss. If no run of a group is done, keep its first setting.

    Args:
        runs: one line per run.
        by: columns that define a group.
    """
    if not len(runs):
        return runs
    keys = list(zip(*(runs[name] for name in by), strict=True))
    several = runs[runs.groupby(list(by), sort=False, dropna=False)["setting"].transform("nunique") > 1]
    best = {key: _best(group) for key, group in several.groupby(list(by), sort=False, dropna=False)}
    return runs[
        [best.get(key, setting) == setting for key, setting in zip(keys, runs["setting"], strict=True)]
    ]


def _best(group: pd.DataFrame) -> str:
    finished = group["outcome"] == "done"
    means = group[finished].groupby("setting")[["validation_score", "validation_loss"]].mean().round(DIGITS)
    means["unfinished"] = (~finished).groupby(group["setting"]).sum()
    order = ["unfinished", "validation_score", "validation_loss"]
    means = means.sort_values(order, ascending=[True, False, True])
    return means.index[0] if len(means) else group["setting"].iloc[0]


def mean_over_seeds(selected: pd.DataFrame, by: Sequence[str] = tuple(CELL)) -> pd.DataFrame:
    """Return the mean over seeds of each group of runs.

    Args:
        selected: runs with one setting per group, as `select_best_setting` returns them.
        by: columns that define a group.

    Returns:
        One line per group with the columns of `by`; title, metric, shots, outcome ("done" if any seed is
        done), n (seeds done), failed (seeds not done), lr, steps, and long_above_tokens (the mean); and for
        score, score_long, score_short, auc, loss, peak_bytes, seconds, and the majority scores the mean and
        `<name>_std` (the sample standard deviation; nan with fewer than two seeds).
    """
    by = list(by)
    groups = selected.groupby(by, sort=False)
    done = selected[selected["outcome"] == "done"].groupby(by, sort=False)
    means = groups[["title", "metric", "shots", "outcome", "lr", "steps"]].first()
    # A run that diverged ended early.
    means["steps"] = done["steps"].first().reindex(means.index).fillna(means["steps"])
    means["n"] = done.size().reindex(means.index, fill_value=0)
    means["failed"] = groups.size() - means["n"]
    means.loc[means["n"] > 0, "outcome"] = "done"
    means["long_above_tokens"] = done["long_above_tokens"].mean()
    means = means.join(done[MEASURES].mean()).join(done[MEASURES].std(ddof=1).add_suffix("_std"))
    return means.reset_index()
