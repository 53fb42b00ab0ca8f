"""Validation score and loss against the budget, with a pair of panels per task.

By default the x axis is the budget of the runs; `axis` selects another one. Lines are means over seeds at
each evaluation; with several seeds, a band shows one standard deviation. The marker is the checkpoint that
validation selected for the first seed. The thin dashed line is the majority score. Compare arXiv 2410.06441,
Figure 11.
"""

import math
from collections.abc import Iterator

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmarks.errors import unknown
from benchmarks.results import majority
from benchmarks.results.frame import Results
from benchmarks.results.order import display_order, task_heading
from plots._curves import curve, means, needs_log_axis, symlog
from plots._scores import axis_label, majority_key, majority_line
from plots._style import PAGE, Page, format_model, legend_above, styles

SUITE = "quick"
AXES = {
    "steps": ("step", "training step"),
    "seconds": ("train_seconds", "training time (s)"),
    "examples": ("examples", "training examples drawn"),
    "forward-equivalents": (
        "forward_equivalents",
        "example-forwards (a backward pass counts as two)",
    ),
}
COLUMNS = 3


def draw(results: Results, page: Page = PAGE, axis: str | None = None) -> dict[str, Figure]:
    """Return a figure per model, keyed by file stem.

    Args:
        results: the runs to draw.
        page: size of the figures and of their text.
        axis: one of `AXES`; None selects the budget of each model's runs. A model gets no figure if its rows
            lack that quantity.

    Raises:
        UserError: if the axis is unknown.
    """
    style_of = styles(display_order(results.runs, "label"))
    return {
        f"convergence-{model}-{name}": _figure(points, style_of, model, name, page)
        for model, name, points in _curves(results, axis)
    }


def numbers(results: Results, axis: str | None = None) -> dict[str, pd.DataFrame]:
    """Return the numbers in each figure of `draw`, keyed by file stem."""
    columns = ["model", "task", "label", "title", "metric", "best_step"]
    columns += ["score", "score_std", "majority_validation", "loss", "loss_std"]
    return {
        f"convergence-{model}-{name}": points[list(dict.fromkeys([*columns, "step", AXES[name][0]]))]
        for model, name, points in _curves(results, axis)
    }


def _curves(results: Results, axis: str | None) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Yield the model, axis, and points of each figure."""
    if axis is not None and axis not in AXES:
        raise unknown("axis", axis, AXES)
    points = means(results.selected)
    for model in display_order(points, "model"):
        subset = points[points["model"] == model]
        name = axis or _budget(results.selected[results.selected["model"] == model])
        if subset[AXES[name][0]].notna().all():
            yield model, name, subset


def _budget(runs: pd.DataFrame) -> str:
    """Return the budget that most runs have, as a key of `AXES`."""
    return runs["budget"].dropna().mode()[0].replace("_", "-")


def _figure(points: pd.DataFrame, style_of: dict, model: str, name: str, page: Page) -> Figure:
    column, title = AXES[name]
    tasks, labels = display_order(points, "task"), display_order(points, "label")
    columns = page.columns(len(tasks), COLUMNS)
    rows = math.ceil(len(tasks) / columns)
    figure = page.figure(len(tasks), 0.8 + 2.7 * rows)
    grid = figure.subplots(2 * rows, columns, squeeze=False)
    references = majority.by_task(points, "validation_score")
    log = needs_log_axis(points.groupby(["task", "label"])[column].max())
    for k, task in enumerate(tasks):
        top, bottom = grid[2 * (k // columns), k % columns], grid[2 * (k // columns) + 1, k % columns]
        subset = points[points["task"] == task]
        top.set_title(task_heading(*subset[["title", "metric"]].iloc[0]), pad=3)
        majority_line(top, references.get(task))
        for axes, measure, scale in ((top, "score", 100), (bottom, "loss", 1)):
            for label in display_order(subset, "label"):
                curve(axes, subset[subset["label"] == label], column, measure, scale, style_of[label])
            if log:
                symlog(axes, subset.loc[subset[column] > 0, column].min(), subset[column].max())
        top.tick_params(labelbottom=False)
        if k % columns == 0:
            in_line = points[points["task"].isin(tasks[k : k + columns])]
            top.set_ylabel(axis_label(in_line, "acc.", most=20))
            bottom.set_ylabel("loss")
        top.sharex(bottom)
    for k in range(len(tasks), rows * columns):
        grid[2 * (k // columns), k % columns].remove()
        grid[2 * (k // columns) + 1, k % columns].remove()
    figure.supxlabel(title)
    figure.align_ylabels(grid[:, 0])
    keys = [Line2D([], [], color=style_of[label].color, marker=style_of[label].marker) for label in labels]
    if references:
        keys, labels = [*keys, majority_key()], [*labels, majority.LABEL]
    legend_above(figure, keys, labels, f"{format_model(model)}, validation")
    return figure
