"""The memory and time of Addax relative to each other method."""

import pandas as pd

from benchmarks.config.names import is_trained
from benchmarks.report.stats_tables import ReportTable
from benchmarks.report.tables import NONE
from benchmarks.results.order import METHODS, display_order

# The method that all others are compared with: Addax.
SUBJECT = METHODS[2]
NOTE = (
    f"A ratio above 1 means that {SUBJECT} needs more. Ratios cover the tasks that both methods finished: "
    "the mean of peak memory, and the sum of training times to the selected checkpoints."
)


def costs_table(means: pd.DataFrame) -> ReportTable | None:
    """Return the memory and time of `SUBJECT` as multiples of those of each other method.

    Args:
        means: `benchmarks.results.frame.Results.means`.

    Returns:
        One line per model and method that finished at least one task that `SUBJECT` also finished; None if
        there are no such methods.
    """
    data = pd.DataFrame(
        line for model in display_order(means, "model") for line in _lines(means[means["model"] == model])
    )
    if not len(data):
        return None
    table = data[["model", "method"]].assign(
        **{
            "common tasks": data["tasks"].astype(str),
            f"memory, {SUBJECT} / method": data["memory"].map(format_ratio),
            f"time, {SUBJECT} / method": data["time"].map(format_ratio),
        }
    )
    return ReportTable(f"Cost of {SUBJECT} relative to other methods", table, data, NOTE)


def _lines(means: pd.DataFrame) -> list[dict]:
    done = means[(means["outcome"] == "done") & means["label"].map(is_trained).astype(bool)]
    subject = done[done["label"] == SUBJECT].set_index("task")
    lines = []
    for label in display_order(done, "label"):
        other = done[done["label"] == label].set_index("task")
        shared = subject.index.intersection(other.index)
        if label != SUBJECT and len(shared):
            ratios = {
                name: _ratio(subject.loc[shared, column], other.loc[shared, column])
                for name, column in (("memory", "peak_bytes"), ("time", "seconds"))
            }
            lines.append({"model": means["model"].iloc[0], "method": label, "tasks": len(shared), **ratios})
    return lines


def _ratio(mine: pd.Series, theirs: pd.Series) -> float:
    """Return the ratio of sums over the tasks for which both values were measured."""
    known = mine.notna() & theirs.notna()
    return mine[known].sum() / theirs[known].sum() if theirs[known].sum() else float("nan")


def format_ratio(value: float) -> str:
    """Return a ratio as text.

    >>> format_ratio(0.5), format_ratio(12.34)
    ('0.50 times', '12 times')
    """
    return NONE if pd.isna(value) else f"{value:.0f} times" if value >= 9.95 else f"{value:.2f} times"
