"""Validation score and loss against the budget, a pair of panels for each task.

The budget is the one that the runs were given; another one can be chosen as `axis`. Lines are means over
seeds at each evaluation, with a band of one standard deviation where there are several. The marker is the
checkpoint that validation chose (of the first seed). Compare arXiv 2410.06441, Figure 11.
"""

import math
from collections.abc import Iterator

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmarks.errors import unknown
from benchmarks.results.frame import Results
from benchmarks.results.order import display_order, score_name
from plots._curves import curve, means, spans, symlog
from plots._style import PAGE, Page, format_model, legend_above, styles

SUITE = "quick"
AXES = {
    "steps": ("step", "training step"),
    "seconds": ("train_seconds", "training time (s)"),
    "examples": ("examples", "training examples drawn"),
    "forward-equivalents": (
        "forward_equivalents",
        "examples in forward passes, a backward pass counted twice",
    ),
}
COLUMNS = 3


def draw(results: Results, page: Page = PAGE, axis: str | None = None) -> dict[str, Figure]:
    """Return a figure for each model, keyed by file stem.

    Args:
        results: runs.
        page: size of the figures and of their text.
        axis: one of `AXES`; None takes each model's own budget. A model whose rows did not count that
            budget has no figure.

    Raises:
        UserError: an unknown axis.
    """
    look = styles(display_order(results.runs, "label"))
    return {
        f"convergence-{model}-{name}": _figure(points, look, model, name, page)
        for model, name, points in _curves(results, axis)
    }


def numbers(results: Results, axis: str | None = None) -> dict[str, pd.DataFrame]:
    """Return what each figure of `draw` shows."""
    keep = ["model", "task", "label", "title", "metric", "best_step"]
    keep += ["score", "score_std", "loss", "loss_std"]
    return {
        f"convergence-{model}-{name}": points[list(dict.fromkeys([*keep, "step", AXES[name][0]]))]
        for model, name, points in _curves(results, axis)
    }


def _curves(results: Results, axis: str | None) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Model, axis, and points of each figure."""
    if axis is not None and axis not in AXES:
        raise unknown("axis", axis, AXES)
    points = means(results.selected)
    for model in display_order(points, "model"):
        here = points[points["model"] == model]
        name = axis or _budget(results.selected[results.selected["model"] == model])
        if here[AXES[name][0]].notna().all():
            yield model, name, here


def _budget(runs: pd.DataFrame) -> str:
    """The budget that most runs were given."""
    return runs["budget"].dropna().mode()[0].replace("_", "-")


def _figure(points: pd.DataFrame, look: dict, model: str, name: str, page: Page) -> Figure:
    column, title = AXES[name]
    tasks, labels = display_order(points, "task"), display_order(points, "label")
    columns = page.columns(len(tasks), COLUMNS)
    rows = math.ceil(len(tasks) / columns)
    figure = page.figure(len(tasks), 0.8 + 2.7 * rows)
    grid = figure.subplots(2 * rows, columns, squeeze=False)
    log = spans(points.groupby(["task", "label"])[column].max())
    for k, task in enumerate(tasks):
        top, bottom = grid[2 * (k // columns), k % columns], grid[2 * (k // columns) + 1, k % columns]
        here = points[points["task"] == task]
        top.set_title(here["title"].iloc[0], pad=3)
        for axes, measure, scale in ((top, "score", 100), (bottom, "loss", 1)):
            for label in display_order(here, "label"):
                curve(axes, here[here["label"] == label], column, measure, scale, look[label])
            if log:
                symlog(axes, here.loc[here[column] > 0, column].min(), here[column].max())
        top.tick_params(labelbottom=False)
        if k % columns == 0:
            top.set_ylabel(f"{score_name(here, 'acc.')} (%)")
            bottom.set_ylabel("loss")
        top.sharex(bottom)
    for k in range(len(tasks), rows * columns):
        grid[2 * (k // columns), k % columns].remove()
        grid[2 * (k // columns) + 1, k % columns].remove()
    figure.supxlabel(title)
    figure.align_ylabels(grid[:, 0])
    keys = [Line2D([], [], color=look[m].color, marker=look[m].marker) for m in labels]
    legend_above(figure, keys, labels, f"{format_model(model)}, validation")
    return figure
