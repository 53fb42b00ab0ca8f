"""Choose one setting for each method on validation scores, and average its runs over seeds.

Test scores take no part in the choice.
"""

from collections.abc import Sequence

import pandas as pd

# One entry of a table: a method on a task of a model.
CELL = ["model", "task", "label"]
MEASURES = ["score", "auc", "loss", "peak_bytes", "seconds"]


def candidates(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the runs that `select_best_setting` chooses among.

    Where batch sizes are swept on one task, only runs at the sizes that the method has on most tasks take
    part: a sweep is not a search for the best entry of a table.
    """
    if not len(runs):
        return runs
    sizes = runs[["zo_batch_size", "fo_batch_size"]].fillna(0).apply(tuple, axis=1).rename("sizes")
    tasks = runs.assign(sizes=sizes).groupby(["model", "method", "sizes"])["task"].nunique()
    usual = set(tasks[tasks == tasks.groupby(["model", "method"]).transform("max")].index)
    keys = zip(runs["model"], runs["method"], sizes, strict=True)
    at_usual = pd.Series([key in usual for key in keys], index=runs.index)
    some = at_usual.groupby([runs[name] for name in CELL]).transform("any")
    return runs[at_usual | ~some]


def select_best_setting(runs: pd.DataFrame) -> pd.DataFrame:
    """Keep the runs of one setting for each model, task, and method: the best on validation.

    It costs a pass over all runs, so a report calls it once: `benchmarks.results.frame.Results.selected`.
    """
    return keep_best(candidates(runs), CELL)


def keep_best(runs: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Keep the runs of one setting in each group: the one with the best mean score on validation.

    Ties go to the lower validation loss. Where no run of a group is done, its first setting stays.

    Args:
        runs: one line a run.
        by: columns that make a group.
    """
    if not len(runs):
        return runs
    keys = list(zip(*(runs[name] for name in by), strict=True))
    several = runs[runs.groupby(list(by), sort=False, dropna=False)["setting"].transform("nunique") > 1]
    best = {key: _best(group) for key, group in several.groupby(list(by), sort=False, dropna=False)}
    return runs[[best.get(key, own) == own for key, own in zip(keys, runs["setting"], strict=True)]]


def _best(group: pd.DataFrame) -> str:
    done = group[group["outcome"] == "done"].groupby("setting")
    means = done[["validation_score", "validation_loss"]].mean()
    means = means.sort_values(["validation_score", "validation_loss"], ascending=[False, True])
    return means.index[0] if len(means) else group["setting"].iloc[0]


def mean_over_seeds(selected: pd.DataFrame, by: Sequence[str] = tuple(CELL)) -> pd.DataFrame:
    """Return one line for each group of runs: its mean over seeds.

    Args:
        selected: runs of one setting a group, as `select_best_setting` returns them.
        by: columns that make a group.

    Returns:
        The columns of `by`; title, metric, shots, outcome ("done" where any seed is), n (seeds done), failed
        (seeds not done), lr, and steps; and for score, auc, loss, peak_bytes, and seconds the mean and
        `<name>_std` (the sample standard deviation; nan below two seeds).
    """
    by = list(by)
    groups = selected.groupby(by, sort=False)
    done = selected[selected["outcome"] == "done"].groupby(by, sort=False)
    means = groups[["title", "metric", "shots", "outcome", "lr", "steps"]].first()
    means["n"] = done.size().reindex(means.index, fill_value=0)
    means["failed"] = groups.size() - means["n"]
    means.loc[means["n"] > 0, "outcome"] = "done"
    means = means.join(done[MEASURES].mean()).join(done[MEASURES].std(ddof=1).add_suffix("_std"))
    return means.reset_index()
