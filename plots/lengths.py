"""Lengths of training examples by task, divided at L_T into D1 (first order) and D0 (zeroth order).

There is a figure for each tokenizer and data source, with a panel per task. Drawn from rows of
`benchmarks.studies.lengths`. Compare the choice of L_T in arXiv 2410.06441.
"""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from benchmarks.results.frame import Results
from benchmarks.results.order import display_order
from plots._style import PAGE, Page, format_model, legend_above

STUDY = "lengths"
COLUMNS = 3
# Two shades that remain distinguishable in grayscale.
SHADES = {"D1": "#F2B48A", "D0": "#A34700"}
DATA = {"builtin": "built-in rows", "hub": "rows from the hub", "folder": "real rows"}


def draw(results: Results, page: Page = PAGE) -> dict[str, Figure]:
    """Return a figure for each data source and tokenizer; `results` hold one row per task of each."""
    return {
        f"lengths-{source}-{tokenizer}": _figure(
            subset, f"{format_model(tokenizer)}, {DATA.get(source, source)}", page
        )
        for (source, tokenizer), subset in results.runs.groupby(["data", "tokenizer"])
    }


def _figure(data: pd.DataFrame, title: str, page: Page) -> Figure:
    tasks = display_order(data, "task")
    columns = page.columns(len(tasks), COLUMNS)
    lines = -(-len(tasks) // columns)
    figure = page.figure(min(COLUMNS, len(tasks)), 0.9 + 1.35 * lines)
    grid = list(figure.subplots(lines, columns, squeeze=False).flat)
    for axes, task in zip(grid, tasks, strict=False):
        _panel(axes, data[data["task"] == task].iloc[0])
    for axes in grid[len(tasks) :]:
        axes.remove()
    figure.supxlabel("length (tokens)")
    figure.supylabel("training examples")
    quantile = ", ".join(data["length_threshold"].unique())
    keys = [
        Patch(color=SHADES["D1"]),
        Patch(color=SHADES["D0"]),
        Line2D([], [], color="black", ls=(0, (3, 1.5))),
    ]
    labels = ["$D_1$, at most $L_T$", "$D_0$, longer", f"$L_T$ ({quantile})"]
    legend_above(figure, keys, labels, title, handlelength=1.6)
    return figure


def _panel(axes: Axes, row: pd.Series) -> None:
    edges, threshold = row["edges"], row["length_threshold_tokens"]
    for left, right, count in zip(edges, edges[1:], row["counts"], strict=False):
        part = "D1" if right <= threshold + 0.5 else "D0"
        axes.bar(left, count, right - left, align="edge", color=SHADES[part], ec="white", lw=0.2, label=part)
    axes.axvline(threshold + 0.5, color="black", lw=0.9, ls=(0, (3, 1.5)))
    has_room_right = threshold - edges[0] < 0.8 * (edges[-1] - edges[0])
    axes.annotate(
        f"{threshold}",
        (threshold + 0.5, 1),
        (3 if has_room_right else -3, -1),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        va="top",
        ha="left" if has_room_right else "right",
    )
    # Longer examples are truncated to the model's maximum length and counted there.
    cut = f", cut at {row['max_length']:,}" if row["maximum"] == row["max_length"] else ""
    axes.set_title(f"{row['task_title']} (n = {row['n']:,}{cut})", pad=3)
    # Leave room above the bars for the number next to the line.
    axes.set_ylim(0, 1.15 * max(row["counts"]))
    axes.margins(x=0.02)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
