"""Validation score and loss against each kind of budget, a pair of panels for each task.

The means over seeds at each evaluation, with a band of one standard deviation where there are several.
The marker is the checkpoint that validation chose (of the first seed). Compare arXiv 2410.06441, Figure 11.
"""

import math
from collections.abc import Iterator

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmarks.results.frame import ordered, score_name
from plots._curves import curve, means, spans, symlog
from plots._style import legend_above, looks, shown, style, width_for

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


def draw(data: pd.DataFrame) -> dict[str, Figure]:
    """A figure for each model and kind of budget, keyed by file stem. `data` is `results.frame.frame`'s.

    What rows of an earlier version did not count is left out.
    """
    look = looks(ordered(data, "label"))
    with style():
        return {
            f"convergence-{model}-{name}": _figure(points, look, model, name)
            for model, name, points in _shown(data)
        }


def numbers(data: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """What each figure of `draw` shows."""
    keep = ["model", "task", "label", "title", "metric", "best_step"]
    keep += ["score", "score_std", "loss", "loss_std"]
    return {
        f"convergence-{model}-{name}": points[list(dict.fromkeys([*keep, "step", AXES[name][0]]))]
        for model, name, points in _shown(data)
    }


def _shown(data: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Model, kind of budget and points of each figure."""
    points = means(data)
    for model in ordered(points, "model"):
        here = points[points["model"] == model]
        for name, (column, _) in AXES.items():
            if here[column].notna().all():
                yield model, name, here


def _figure(points: pd.DataFrame, look: dict, model: str, name: str) -> Figure:
    column, title = AXES[name]
    tasks, labels = ordered(points, "task"), ordered(points, "label")
    columns = min(COLUMNS, len(tasks))
    rows = math.ceil(len(tasks) / columns)
    figure = Figure(figsize=(width_for(len(tasks)), 0.8 + 2.7 * rows), layout="constrained")
    grid = figure.subplots(2 * rows, columns, squeeze=False)
    log = spans(points.groupby(["task", "label"])[column].max())
    for k, task in enumerate(tasks):
        top, bottom = grid[2 * (k // columns), k % columns], grid[2 * (k // columns) + 1, k % columns]
        here = points[points["task"] == task]
        top.set_title(here["title"].iloc[0], pad=3)
        for axes, measure, scale in ((top, "score", 100), (bottom, "loss", 1)):
            for label in ordered(here, "label"):
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
    figure.supxlabel(title, fontsize=7.5)
    figure.align_ylabels(grid[:, 0])
    keys = [Line2D([], [], color=look[m].color, marker=look[m].marker) for m in labels]
    legend_above(figure, keys, labels, f"{shown(model)}, validation")
    return figure
