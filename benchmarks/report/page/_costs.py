"""What Addax takes of memory and time beside each other method."""

from typing import NamedTuple

import pandas as pd

from benchmarks.report.tables import NONE
from benchmarks.results.frame import METHODS, ordered
from benchmarks.results.stats import ZERO_SHOT

SUBJECT = METHODS[1]  # Addax: what others are compared with, where it was run


class Cost(NamedTuple):
    """What the subject took as a multiple of a method's, over so many tasks that both finished."""

    label: str
    tasks: int
    memory: float
    time: float


def trained(means: pd.DataFrame) -> pd.DataFrame:
    """The part of a summary that is of trained methods."""
    return means[means["label"] != ZERO_SHOT]


def costs(means: pd.DataFrame) -> list[Cost]:
    """Peak memory and training time of the subject as a multiple of each other method's.

    Args:
        means: one model's part of `benchmarks.results.frame.summary`'s.

    Returns:
        An entry for each method that finished a task which the subject finished too; nan where there is none
        to divide by. Empty where the subject was not run.
    """
    done = trained(means)[lambda frame: frame["outcome"] == "done"]
    own = done[done["label"] == SUBJECT].set_index("task")
    found = []
    for label in ordered(done, "label") if len(own) else ():
        other = done[done["label"] == label].set_index("task")
        shared = own.index.intersection(other.index)
        if label == SUBJECT or not len(shared):
            continue
        ratios = [
            _ratio(own.loc[shared, name], other.loc[shared, name]) for name in ("peak_bytes", "seconds")
        ]
        found.append(Cost(label, len(shared), *ratios))
    return found


def _ratio(mine: pd.Series, theirs: pd.Series) -> float:
    """Of sums over the tasks where both were measured."""
    known = mine.notna() & theirs.notna()
    return mine[known].sum() / theirs[known].sum() if theirs[known].sum() else float("nan")


def ratio(value: float) -> str:
    """A ratio as text.

    >>> ratio(0.5), ratio(12.34)
    ('0.50 times', '12 times')
    """
    return NONE if pd.isna(value) else f"{value:.0f} times" if value >= 9.95 else f"{value:.2f} times"


def table(means: pd.DataFrame) -> pd.DataFrame:
    """`costs` as text."""
    return pd.DataFrame(
        [
            {
                "method": cost.label,
                "tasks of both": str(cost.tasks),
                f"memory of {SUBJECT} / its": ratio(cost.memory),
                f"time of {SUBJECT} / its": ratio(cost.time),
            }
            for cost in costs(means)
        ]
    )
