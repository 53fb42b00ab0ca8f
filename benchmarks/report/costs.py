"""What Addax takes of memory and time beside each other method."""

import pandas as pd

from benchmarks.config.names import ZERO_SHOT
from benchmarks.report.stats_tables import ReportTable
from benchmarks.report.tables import NONE
from benchmarks.results.order import METHODS, display_order

# Addax: the method that the others are compared with, where it was run.
SUBJECT = METHODS[1]
NOTE = (
    "Above 1, Addax takes more. Over the tasks that both methods finished: memory by the mean of peaks, time "
    "by the sum of training times to the chosen checkpoints."
)


def costs_table(means: pd.DataFrame) -> ReportTable | None:
    """Return the subject's memory and time as multiples of each other method's.

    Args:
        means: `benchmarks.results.frame.Results.means`.

    Returns:
        A line for each model and method that finished a task which the subject finished, too; None
        where there is no such line.
    """
    data = pd.DataFrame(
        line for model in display_order(means, "model") for line in _lines(means[means["model"] == model])
    )
    if not len(data):
        return None
    table = data[["model", "method"]].assign(
        **{
            "tasks of both": data["tasks"].astype(str),
            f"memory of {SUBJECT} / its": data["memory"].map(format_ratio),
            f"time of {SUBJECT} / its": data["time"].map(format_ratio),
        }
    )
    return ReportTable(f"Cost of {SUBJECT} beside other methods", table, data, NOTE)


def _lines(means: pd.DataFrame) -> list[dict]:
    done = means[(means["outcome"] == "done") & (means["label"] != ZERO_SHOT)]
    own = done[done["label"] == SUBJECT].set_index("task")
    lines = []
    for label in display_order(done, "label"):
        other = done[done["label"] == label].set_index("task")
        shared = own.index.intersection(other.index)
        if label != SUBJECT and len(shared):
            ratios = {
                name: _ratio(own.loc[shared, column], other.loc[shared, column])
                for name, column in (("memory", "peak_bytes"), ("time", "seconds"))
            }
            lines.append({"model": means["model"].iloc[0], "method": label, "tasks": len(shared), **ratios})
    return lines


def _ratio(mine: pd.Series, theirs: pd.Series) -> float:
    """Ratio of sums over the tasks where both were measured."""
    known = mine.notna() & theirs.notna()
    return mine[known].sum() / theirs[known].sum() if theirs[known].sum() else float("nan")


def format_ratio(value: float) -> str:
    """Return a ratio as text.

    >>> format_ratio(0.5), format_ratio(12.34)
    ('0.50 times', '12 times')
    """
    return NONE if pd.isna(value) else f"{value:.0f} times" if value >= 9.95 else f"{value:.2f} times"
