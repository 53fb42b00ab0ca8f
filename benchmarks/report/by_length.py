"""Tables of the scores on long and on short test rows, next to the table of all scores."""

import pandas as pd

from benchmarks.report.tables import MEASURES
from benchmarks.results.order import display_order

# Tables that exist only if runs have a length threshold.
TABLES = ("score-long", "score-short")


def measures(means: pd.DataFrame) -> dict[str, str]:
    """Return the tables of `MEASURES` for which there are entries: name -> column of the means."""
    return {
        name: column
        for name, (column, _) in MEASURES.items()
        if name not in TABLES or means[column].notna().any()
    }


def shown(means: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return the means that a table shows: for `TABLES`, those of the methods of a model that have scores."""
    if name not in TABLES:
        return means
    column, _ = MEASURES[name]
    return means[means.groupby(["model", "label"])[column].transform("count") > 0]


def note(means: pd.DataFrame) -> str:
    """Return the number of tokens above which a test row is long, by task; empty without a threshold.

    The number is a mean over seeds, because a quantile depends on the training rows that a seed selects.
    """
    known = means[means["long_above_tokens"].notna()]
    texts = [_of_task(known[known["task"] == task]) for task in display_order(known, "task")]
    return f"Long rows have more tokens than: {'; '.join(texts)}." if texts else ""


def _of_task(entries: pd.DataFrame) -> str:
    """Return a task's numbers of tokens, with the models and methods that have them if there are several."""
    title = entries["title"].iloc[0]
    groups = entries.groupby(["model", "long_above_tokens"], sort=False)["label"]
    if entries["long_above_tokens"].nunique() == 1:
        return f"{title} {entries['long_above_tokens'].iloc[0]:g}"
    several = entries["model"].nunique() > 1
    parts = [
        f"{tokens:g} ({f'{model}: ' if several else ''}{', '.join(dict.fromkeys(labels))})"
        for (model, tokens), labels in groups
    ]
    return f"{title} {', '.join(parts)}"
