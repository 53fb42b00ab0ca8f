"""Score against the zeroth-order batch size K0 at a fixed K1 = 4; 0 is IP-SGD (Addax, Figure 5 right).

Source: arXiv 2410.06441. Bars are the standard deviation over seeds, where there are several.
"""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.results.frame import Results
from benchmarks.results.order import display_order, score_name
from benchmarks.results.select import CELL, keep_best, mean_over_seeds
from plots._style import PAGE, Page, format_model, styles

SUITE = "quick"
FO_BATCH_SIZE = 4
MIN_SIZES = 3  # sizes K0 > 0 of one method that make a sweep


def draw(results: Results, page: Page = PAGE) -> dict[str, Figure]:
    """Return a figure for each model that has a sweep, a panel for each task."""
    points = _points(results.runs)
    look = styles(display_order(results.runs, "label"))
    return {
        f"k0_sweep-{m}": _figure(points[points["model"] == m], look, m, page)
        for m in display_order(points, "model")
    }


def numbers(results: Results) -> dict[str, pd.DataFrame]:
    """Return what each figure of `draw` shows."""
    points = _points(results.runs)
    columns = ["model", "task", "title", "label", "k0", "n", "score", "score_std"]
    return {
        f"k0_sweep-{m}": points.loc[points["model"] == m, columns] for m in display_order(points, "model")
    }


def _points(runs: pd.DataFrame) -> pd.DataFrame:
    """Mean over seeds for each model, task, method, and K0, where that makes a sweep; and the runs at 0."""
    at = runs[runs["method"].isin(["addax", "ip-sgd"]) & (runs["fo_batch_size"] == FO_BATCH_SIZE)]
    at = at[at["outcome"] == "done"]
    sizes = at.assign(k0=at["zo_batch_size"].fillna(0).astype(int))
    points = mean_over_seeds(keep_best(sizes, [*CELL, "k0"]), [*CELL, "k0"])
    wide = points[points["k0"] > 0].groupby(["model", "task", "label"])["k0"].nunique()
    swept = set(wide[wide >= MIN_SIZES].index)
    places = {(model, task) for model, task, _ in swept}
    keep = [
        (r.model, r.task, r.label) in swept if r.k0 else (r.model, r.task) in places
        for r in points.itertuples()
    ]
    return points.loc[keep].sort_values("k0", kind="stable")


def _figure(points: pd.DataFrame, look: dict, model: str, page: Page) -> Figure:
    tasks = display_order(points, "task")
    columns = page.columns(len(tasks))
    rows = -(-len(tasks) // columns)
    figure = page.figure(min(len(tasks), 3), 2.3 * rows)
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes, task in zip(grid, tasks, strict=False):
        here = points[points["task"] == task]
        axes.set_title(f"{here['title'].iloc[0]}, {format_model(model)}")
        _curves(axes, here, look)
    for axes in grid[len(tasks) :]:
        axes.remove()
    return figure


def _curves(axes: Axes, here: pd.DataFrame, look: dict) -> None:
    base = here[here["k0"] == 0]
    base = base[base["label"] == "IP-SGD"] if (base["label"] == "IP-SGD").any() else base
    for label in display_order(here[here["k0"] > 0], "label"):
        line = pd.concat([base, here[(here["label"] == label) & (here["k0"] > 0)]])
        this = look[label]
        axes.plot(line["k0"], 100 * line["score"], color=this.color, zorder=2)
        _dots(axes, line[line["k0"] > 0], this, label)
    if len(base):
        _dots(axes, base, styles(["IP-SGD"])["IP-SGD"], "IP-SGD")
    axes.set_xticks(sorted(here["k0"].unique()))
    axes.set(
        xlabel=f"zeroth-order batch size $K_0$  ($K_1$ = {FO_BATCH_SIZE})", ylabel=f"{score_name(here)} (%)"
    )
    axes.margins(x=0.04, y=0.15)
    # No score is above 100 %: where all are close to it, the margin would say so.
    axes.set_ylim(top=min(axes.get_ylim()[1], 101))
    axes.legend(loc="best", frameon=True, edgecolor="none", framealpha=1)


def _dots(axes: Axes, line: pd.DataFrame, this, label: str) -> None:
    spread = 100 * line["score_std"]
    axes.errorbar(
        line["k0"],
        100 * line["score"],
        yerr=spread if spread.notna().any() else None,
        ls="none",
        marker=this.marker,
        color=this.color,
        elinewidth=0.8,
        capsize=2,
        label=label,
        zorder=3,
    )
