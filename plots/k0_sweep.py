"""Score against the zeroth-order batch size K0 at K1 = 4; K0 = 0 is IP-SGD (Addax, Figure 5 right).

With several seeds, error bars show the standard deviation. The thin dashed line is the majority score.
Source: arXiv 2410.06441.
"""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.results import majority
from benchmarks.results.frame import Results
from benchmarks.results.order import display_order
from benchmarks.results.select import CELL, keep_best, mean_over_seeds
from plots._scores import axis_label, majority_line
from plots._style import PAGE, Page, format_model, styles

SUITE = "quick"
FO_BATCH_SIZE = 4
MIN_SIZES = 3  # minimum number of sizes K0 > 0 of one method for a sweep


def draw(results: Results, page: Page = PAGE) -> dict[str, Figure]:
    """Return a figure per model that has a sweep, with a panel per task."""
    points = _points(results.runs)
    style_of = styles(display_order(results.runs, "label"))
    return {
        f"k0_sweep-{model}": _figure(points[points["model"] == model], style_of, model, page)
        for model in display_order(points, "model")
    }


def numbers(results: Results) -> dict[str, pd.DataFrame]:
    """Return the numbers in each figure of `draw`, keyed by file stem."""
    points = _points(results.runs)
    columns = ["model", "task", "title", "label", "k0", "n", "score", "score_std", "majority"]
    return {
        f"k0_sweep-{model}": points.loc[points["model"] == model, columns]
        for model in display_order(points, "model")
    }


def _points(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the mean over seeds of each model, task, method, and K0 in a sweep, including K0 = 0."""
    done = runs[runs["method"].isin(["addax", "ip-sgd"]) & (runs["fo_batch_size"] == FO_BATCH_SIZE)]
    done = done[done["outcome"] == "done"]
    sizes = done.assign(k0=done["zo_batch_size"].fillna(0).astype(int))
    points = mean_over_seeds(keep_best(sizes, [*CELL, "k0"]), [*CELL, "k0"])
    counts = points[points["k0"] > 0].groupby(["model", "task", "label"])["k0"].nunique()
    swept = set(counts[counts >= MIN_SIZES].index)
    swept_tasks = {(model, task) for model, task, _ in swept}
    keep = [
        (r.model, r.task, r.label) in swept if r.k0 else (r.model, r.task) in swept_tasks
        for r in points.itertuples()
    ]
    return points.loc[keep].sort_values("k0", kind="stable")


def _figure(points: pd.DataFrame, style_of: dict, model: str, page: Page) -> Figure:
    tasks = display_order(points, "task")
    columns = page.columns(len(tasks))
    rows = -(-len(tasks) // columns)
    figure = page.figure(min(len(tasks), 3), 2.3 * rows)
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes, task in zip(grid, tasks, strict=False):
        subset = points[points["task"] == task]
        axes.set_title(f"{subset['title'].iloc[0]}, {format_model(model)}")
        _curves(axes, subset, style_of)
    for axes in grid[len(tasks) :]:
        axes.remove()
    return figure


def _curves(axes: Axes, subset: pd.DataFrame, style_of: dict) -> None:
    base = subset[subset["k0"] == 0]
    base = base[base["label"] == "IP-SGD"] if (base["label"] == "IP-SGD").any() else base
    for label in display_order(subset[subset["k0"] > 0], "label"):
        line = pd.concat([base, subset[(subset["label"] == label) & (subset["k0"] > 0)]])
        style = style_of[label]
        axes.plot(line["k0"], 100 * line["score"], color=style.color, zorder=2)
        _dots(axes, line[line["k0"] > 0], style, label)
    if len(base):
        _dots(axes, base, styles(["IP-SGD"])["IP-SGD"], "IP-SGD")
    majority_line(axes, next(iter(majority.by_task(subset).values()), None))
    axes.set_xticks(sorted(subset["k0"].unique()))
    axes.set(
        xlabel=f"zeroth-order batch size $K_0$  ($K_1$ = {FO_BATCH_SIZE})",
        ylabel=axis_label(subset),
    )
    axes.margins(x=0.04, y=0.15)
    # Scores cannot exceed 100, so the axis extends only slightly beyond it.
    axes.set_ylim(top=min(axes.get_ylim()[1], 101))
    axes.legend(loc="best", frameon=True, edgecolor="none", framealpha=1)


def _dots(axes: Axes, line: pd.DataFrame, style, label: str) -> None:
    spread = 100 * line["score_std"]
    axes.errorbar(
        line["k0"],
        100 * line["score"],
        yerr=spread if spread.notna().any() else None,
        ls="none",
        marker=style.marker,
        color=style.color,
        elinewidth=0.8,
        capsize=2,
        label=label,
        zorder=3,
    )
