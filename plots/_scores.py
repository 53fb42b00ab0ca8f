"""What figures of scores share: the label of an axis of scores, and the line of the majority score."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from benchmarks.results.majority import LABEL
from benchmarks.results.order import score_name, score_unit

LINE = {"color": "#777777", "ls": (0, (2, 1.2)), "lw": 0.8}


def axis_label(data: pd.DataFrame, accuracy: str = "accuracy", where: str = "", most: int = 32) -> str:
    """Return the label of an axis of scores: their metrics and unit.

    Args:
        data: the runs, or means, with their metrics.
        accuracy: the name of accuracy.
        where: the rows that the scores are on, such as " on long rows".
        most: the number of characters above which the unit has a line of its own.
    """
    name, unit = f"{score_name(data, accuracy)}{where}", f"({score_unit(data)})"
    return f"{name} {unit}" if len(f"{name} {unit}") <= most else f"{name}\n{unit}"


def majority_line(axes: Axes, score: float | None, ends: tuple[float, float] | None = None) -> None:
    """Draw the line of a majority score, across the axes or between two x values; nothing for None."""
    if score is None:
        return
    options = {**LINE, "label": LABEL, "zorder": 1.9}
    if ends is None:
        axes.axhline(100 * score, **options)
        return
    # Bars may be higher than the line, so it is drawn above them.
    options |= {"zorder": 3, "path_effects": [withStroke(linewidth=1.8, foreground="white")]}
    axes.plot(ends, [100 * score] * 2, **options)


def majority_key() -> Line2D:
    """Return the line's key in a legend."""
    return Line2D([], [], **LINE)
