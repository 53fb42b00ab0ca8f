"""Validation score and loss against steps, training seconds and examples, a pair of panels for each task.

The means over seeds at each evaluation, with a band of one standard deviation where there are several.
The marker is the checkpoint that validation chose (of the first seed). Compare arXiv 2410.06441, Figure 11.
"""

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from plots._rows import chosen, ordered
from plots._style import legend_above, looks, shown, style, width_for

SUITE = "quick"
AXES = {
    "steps": ("step", "training step"),
    "seconds": ("train_seconds", "training time (s)"),
    "examples": ("examples_forward", "examples through a forward pass"),
}
COLUMNS = 3
SPAN = 4  # a longest run this many times the shortest is shown on a logarithmic axis


def draw(data: pd.DataFrame) -> dict[str, Figure]:
    """Three figures a model, keyed by file stem. `data` is `plots._rows.frame`'s."""
    look = looks(ordered(data, "label"))
    points = _points(data)
    with style():
        return {
            f"convergence-{model}-{name}": _figure(points[points["model"] == model], look, model, name)
            for model in ordered(points, "model")
            for name in AXES
        }


def _points(data: pd.DataFrame) -> pd.DataFrame:
    """One line for each evaluation of each method: means over seeds, `_std` beside score and loss."""
    runs = chosen(data[(data["outcome"] == "done") & (data["curve"].map(len) > 1)])
    keep = ["model", "task", "label", "title", "best_step", "seed"]
    flat = [
        dict(zip(keep, run, strict=True)) | {k: e.get(k) for k in ("step", "score", "loss", *_XS)}
        for *run, curve in runs[[*keep, "curve"]].itertuples(index=False, name=None)
        for e in curve
    ]
    columns = [*keep, "step", "score", "loss", *_XS]
    points = pd.DataFrame(flat, columns=columns).astype(dict.fromkeys(("score", "loss", *_XS), float))
    groups = points.groupby(["model", "task", "label", "title", "step"], sort=False)
    mean = groups[["score", "loss", *_XS]].mean()
    spread = groups[["score", "loss"]].std(ddof=1).add_suffix("_std")
    return mean.join(spread).join(groups["best_step"].first()).reset_index()


_XS = ("train_seconds", "examples_forward")


def _figure(points: pd.DataFrame, look: dict, model: str, name: str) -> Figure:
    column, title = AXES[name]
    tasks, labels = ordered(points, "task"), ordered(points, "label")
    columns = min(COLUMNS, len(tasks))
    rows = math.ceil(len(tasks) / columns)
    figure = Figure(figsize=(width_for(len(tasks)), 0.8 + 2.7 * rows), layout="constrained")
    grid = figure.subplots(2 * rows, columns, squeeze=False)
    ends = points.groupby(["task", "label"])[column].max()
    log = ends.max() > SPAN * ends.min()
    for k, task in enumerate(tasks):
        top, bottom = grid[2 * (k // columns), k % columns], grid[2 * (k // columns) + 1, k % columns]
        here = points[points["task"] == task]
        top.set_title(here["title"].iloc[0], pad=3)
        for axes, measure, scale in ((top, "score", 100), (bottom, "loss", 1)):
            for label in ordered(here, "label"):
                _curve(axes, here[here["label"] == label], column, measure, scale, look[label])
            if log:
                _symlog(axes, here.loc[here[column] > 0, column].min(), here[column].max())
        top.tick_params(labelbottom=False)
        if k % columns == 0:
            top.set_ylabel("acc. or F1 (%)")
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


def _curve(axes: Axes, line: pd.DataFrame, column: str, measure: str, scale: float, this) -> None:
    x, y, spread = line[column], scale * line[measure], scale * line[f"{measure}_std"]
    axes.plot(x, y, color=this.color)
    if spread.notna().any():
        axes.fill_between(x, y - spread, y + spread, color=this.color, alpha=0.18, lw=0)
    best = line["step"] == line["best_step"]
    axes.plot(x[best], y[best], ls="none", marker=this.marker, color=this.color, mec="white", mew=0.4, ms=5)


def _symlog(axes: Axes, first: float, last: float) -> None:
    """Zero at the left edge, then logarithmic from the first evaluation on."""
    axes.set_xscale("symlog", linthresh=first, linscale=0.5)
    powers = range(math.ceil(math.log10(first)), math.floor(math.log10(last * 1.15)) + 1)
    axes.xaxis.set_major_locator(FixedLocator([0, *(10.0**p for p in powers)]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}" if x < 1e4 else f"{x / 1000:g}k"))
    axes.set_xlim(0, last * 1.15)
