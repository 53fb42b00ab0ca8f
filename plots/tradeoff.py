"""Score against peak memory: a marker per method, whose area is the training time.

A marker is the mean over seeds of a method at its selected setting. With several seeds, bars show the
standard deviation of the score. Zero-shot and in-context learning, whose memory is not measured, are
dashed lines, and the majority score is a thin one.
"""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from benchmarks.config.names import is_trained
from benchmarks.results import majority
from benchmarks.results.frame import Results
from benchmarks.results.order import display_order
from benchmarks.results.select import CELL
from plots._scores import axis_label, majority_key, majority_line
from plots._style import PAGE, Page, format_model, legend_above, small, styles

SUITE = "quick"
# Area of the marker of the slowest method, and the smallest area, in points squared at the default font size.
LARGEST, SMALLEST = 160, 12
SIZE = 5


def draw(results: Results, page: Page = PAGE) -> dict[str, Figure]:
    """Return a figure per model in which at least two methods have a score and a peak, keyed by file stem."""
    return of_points(points_of(results), page)


def of_points(points: pd.DataFrame, page: Page = PAGE, name: str = "tradeoff") -> dict[str, Figure]:
    """Return a figure per model, keyed by file stem, which begins with a name.

    Args:
        points: one line per marker, with the columns of `points_of`.
        page: size of the figures.
        name: beginning of the file stems.
    """
    style_of = styles(display_order(points, "label"))
    return {
        stem: _figure(points[points["model"] == model], style_of, page)
        for stem, model in _stems(points, name).items()
    }


def numbers(results: Results) -> dict[str, pd.DataFrame]:
    """Return the numbers in each figure of `draw`, keyed by file stem."""
    points = points_of(results)
    return {stem: points[points["model"] == model] for stem, model in _stems(points, "tradeoff").items()}


def points_of(results: Results) -> pd.DataFrame:
    """Return the means of the methods with a score, with the mean training time of their runs."""
    done = results.selected[results.selected["outcome"] == "done"]
    seconds = done.groupby(CELL, sort=False)["train_seconds"].mean().rename("train_seconds").reset_index()
    means = results.means[results.means["outcome"] == "done"].merge(seconds, on=CELL, how="left")
    columns = [
        "title",
        "metric",
        "n",
        "score",
        "score_std",
        "majority",
        "peak_bytes",
        "peak_bytes_std",
        "train_seconds",
    ]
    return means.loc[
        means["peak_bytes"].notna() | ~means["label"].map(is_trained).astype(bool), [*CELL, *columns]
    ]


def _stems(points: pd.DataFrame, name: str) -> dict[str, str]:
    """Return the models with at least two trained methods by file stem."""
    trained = (
        points[points["label"].map(is_trained).astype(bool)].groupby("model", sort=False)["label"].nunique()
    )
    return {f"{name}-{model}": model for model in display_order(points, "model") if trained.get(model, 0) > 1}


def _figure(points: pd.DataFrame, style_of: dict, page: Page) -> Figure:
    tasks, labels = display_order(points, "task"), display_order(points, "label")
    columns = page.columns(len(tasks))
    lines = -(-len(tasks) // columns)
    figure = page.figure(len(tasks), 0.7 + 1.9 * lines)
    grid = list(figure.subplots(lines, columns, squeeze=False).flat)
    for axes in grid[len(tasks) :]:
        axes.remove()
    peaks = points["peak_bytes"]
    unit, name = (1e9, "GB") if peaks.max() >= 1e9 else (1e6, "MB")
    references = majority.by_task(points)
    for axes, task in zip(grid, tasks, strict=False):
        majority_line(axes, references.get(task))
        _panel(axes, points[points["task"] == task], style_of, unit, page.scale**2)
        if len(tasks) > 1:
            axes.set_title(points.loc[points["task"] == task, "title"].iloc[0])
    for axes in grid[: len(tasks) : columns]:
        axes.set_ylabel(axis_label(points))
    figure.supxlabel(f"peak memory ({name})")
    keys = [_key(style_of[label], label) for label in labels]
    if references:
        keys, labels = [*keys, majority_key()], [*labels, majority.LABEL]
    title = points["title"].iloc[0] if len(tasks) == 1 else ""
    head = ", ".join(filter(None, (format_model(points["model"].iloc[0]), title)))
    legend_above(figure, keys, labels, f"{head}; area: training time")
    return figure


def _key(style, label: str) -> Line2D:
    if not is_trained(label):
        return Line2D([], [], color=style.color, ls=(0, (3, 1.5)), lw=1)
    return Line2D([], [], color=style.color, marker=style.marker, ls="", markersize=SIZE)


def _panel(axes: Axes, points: pd.DataFrame, style_of: dict, unit: float, scale: float) -> None:
    """Draw one task. Large markers are drawn first, so that small ones stay visible."""
    slowest = points["train_seconds"].max()
    for line in points.sort_values("train_seconds", ascending=False).itertuples():
        style, score = style_of[line.label], 100 * line.score
        if not is_trained(line.label):
            axes.axhline(score, color=style.color, ls=(0, (3, 1.5)), lw=1)
            continue
        area = scale * max(SMALLEST, LARGEST * line.train_seconds / slowest)
        x = line.peak_bytes / unit
        axes.errorbar(
            x, score, yerr=None if pd.isna(line.score_std) else 100 * line.score_std,
            color=style.color, lw=0, elinewidth=0.8, capsize=2,
        )  # fmt: skip
        axes.scatter(
            [x],
            [score],
            s=area,
            color=style.color,
            marker=style.marker,
            edgecolor="white",
            lw=0.5,
            alpha=0.8,
        )
    axes.set_xscale("log")
    axes.margins(0.15, 0.15)
    low, high = axes.get_xlim()
    # A logarithmic axis shorter than a factor of 5 may have a single tick at 1, 2, or 5 times a power of ten.
    ticks = LogLocator(subs=(1, 2, 5)) if high / low > 5 else MaxNLocator(4, steps=[1, 2, 2.5, 5, 10])
    axes.xaxis.set_major_locator(ticks)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(labelsize=small())
