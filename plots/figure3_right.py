"""Accuracy against peak memory: IP-SGD with small batches, and Adam (Addax, Figure 3 right).

A point is the mean over seeds of a method at one batch size; with several seeds, error bars show the standard
deviation. The thin dashed line is the majority score. Source: arXiv 2410.06441.
"""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from benchmarks.results import majority
from benchmarks.results.frame import Results
from benchmarks.results.order import display_order, task_heading
from benchmarks.results.select import CELL, keep_best, mean_over_seeds
from plots._scores import axis_label, majority_line
from plots._style import PAGE, Page, format_model, small, styles

SUITE = "figure3-right"
METHODS = ("IP-SGD", "Adam")
MIN_SIZES = 3  # minimum number of batch sizes of IP-SGD
MEGA, GIGA = 1e6, 1e9


def draw(results: Results, page: Page = PAGE) -> dict[str, Figure]:
    """Return a figure per model that has both methods, with a panel per task."""
    points = _points(results.runs)
    return {
        f"figure3_right-{model.replace('/', '_')}": _figure(points[points["model"] == model], model, page)
        for model in points["model"].unique()
    }


def numbers(results: Results) -> dict[str, pd.DataFrame]:
    """Return the numbers in each figure of `draw`, keyed by file stem."""
    points = _points(results.runs)
    columns = ["model", "task", "label", "k1", "n", "score", "score_std", "majority"]
    columns += ["peak_bytes", "peak_bytes_std"]
    return {
        f"figure3_right-{model.replace('/', '_')}": points.loc[points["model"] == model, columns]
        for model in points["model"].unique()
    }


def _points(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the mean over seeds of each model, task, method, and batch size, for tasks with enough sizes."""
    done = runs[(runs["outcome"] == "done") & runs["label"].isin(METHODS) & runs["fo_batch_size"].notna()]
    sizes = done.assign(k1=done["fo_batch_size"].astype(int))
    points = mean_over_seeds(keep_best(sizes, [*CELL, "k1"]), [*CELL, "k1"]).sort_values("k1", kind="stable")
    return points.groupby(["model", "task"], sort=False).filter(_has_both)


def _has_both(subset: pd.DataFrame) -> bool:
    sizes = subset.groupby("label")["k1"].nunique()
    return sizes.get("IP-SGD", 0) >= MIN_SIZES and "Adam" in sizes


def _figure(points: pd.DataFrame, model: str, page: Page) -> Figure:
    tasks = display_order(points, "task")
    columns = page.columns(len(tasks), len(tasks))
    lines = -(-len(tasks) // columns)
    figure = page.figure(len(tasks), 0.4 + 2.1 * lines)
    unit, name = (GIGA, "GB") if points["peak_bytes"].max() >= GIGA else (MEGA, "MB")
    grid = list(figure.subplots(lines, columns, squeeze=False).flat)
    for axes in grid[len(tasks) :]:
        axes.remove()
    for axes, task in zip(grid, tasks, strict=False):
        subset = points[points["task"] == task]
        _panel(axes, subset, unit)
        axes.set_title(task_heading(*subset[["title", "metric"]].iloc[0]))
    for axes in grid[: len(tasks) : columns]:
        axes.set_ylabel(axis_label(points))
    figure.supxlabel(f"peak memory ({name})")
    figure.suptitle(f"{format_model(model)}; numbers are batch sizes")
    return figure


def _panel(axes: Axes, subset: pd.DataFrame, unit: float) -> None:
    style_of = styles(METHODS)
    for label in display_order(subset, "label"):
        line = subset[subset["label"] == label].sort_values("k1")
        x, y, spread = line["peak_bytes"] / unit, 100 * line["score"], 100 * line["score_std"]
        axes.errorbar(
            x, y, yerr=spread if spread.notna().any() else None, color=style_of[label].color,
            marker=style_of[label].marker, lw=0.8, elinewidth=0.8, capsize=2, label=label,
        )  # fmt: skip
        for left, height, size in zip(x, y, line["k1"], strict=True):
            axes.annotate(f"{size}", (left, height), (4, 4), textcoords="offset points", fontsize=small())
    majority_line(axes, next(iter(majority.by_task(subset).values()), None))
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(0.2, 0.25)
    # Scores cannot exceed 100.
    axes.set_ylim(top=min(axes.get_ylim()[1], 105))
    axes.legend(loc="best")
