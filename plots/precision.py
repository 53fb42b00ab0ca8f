"""Drift without a step, and the part of a step that arrives, in 16 bits: ours and the published arithmetic.

Rows of `studies.precision`. Drift has an axis that is linear below 1e-8, so that 0 has a place on it.
Source of the published procedure: arXiv 2305.17333.
"""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from benchmarks.results.frame import Results
from plots._style import PAGE, Page, legend_above

STUDY = "precision"
# Okabe and Ito's palette; a way has a line and a marker of its own too.
WAYS = {
    ("released", None): (
        "released",
        {"color": "#D55E00", "ls": "-", "marker": "o", "ms": 4.5, "mfc": "white"},
    ),
    ("exact", "nearest"): (
        "ours, nearest",
        {"color": "#009E73", "ls": (0, (3, 1.5)), "marker": "x", "ms": 4},
    ),
    ("exact", "stochastic"): (
        "ours, stochastic (default)",
        {"color": "#0072B2", "ls": "-", "marker": "D", "ms": 3},
    ),
}
MARKERS = {"float32": "^", "bfloat16": "o", "float16": "s"}
TITLES = {"synthetic": "synthetic", "smollm2-135m": "SmolLM2-135M"}
SMALLEST_DRIFT = 1e-8


def draw(results: Results, page: Page = PAGE) -> dict[str, Figure]:
    """Return one figure, a line of panels for each set of weights; `results` hold one row a measurement."""
    data = results.runs
    weights = list(dict.fromkeys(data["weights"]))
    halves = [dtype for dtype in ("bfloat16", "float16") if dtype in set(data["dtype"])]
    panels = [(name, dtype) for name in weights for dtype in (None, *halves)]
    columns = page.columns(1 + len(halves))
    columns = columns if columns == 1 + len(halves) else 1
    lines = len(panels) // columns
    figure = page.figure(1 + len(halves), 0.5 + 2.0 * lines)
    grid = figure.subplots(lines, columns, squeeze=False, sharex="col" if columns > 1 else False)
    for axes, (name, dtype) in zip(grid.flat, panels, strict=True):
        here = data[data["weights"] == name]
        title = TITLES.get(name, name)
        axes.set_title(f"{title}: step, {dtype}" if dtype else f"{title}: drift")
        if dtype:
            _fraction(axes, here[here["measure"] == "fraction"], dtype)
        else:
            _drift(axes, here[here["measure"] == "drift"])
        if columns == 1 or axes in grid[-1]:
            axes.set_xlabel("lr × projected_grad" if dtype else "steps at lr = 0")
    handles, labels = grid.flat[len(halves)].get_legend_handles_labels()
    legend_above(figure, handles, labels, "")
    return {"precision": figure}


def _drift(axes: Axes, here: pd.DataFrame) -> None:
    for (arithmetic, dtype), line in here.groupby(["arithmetic", "dtype"], sort=False):
        line = line.sort_values("steps")
        rounding = None if arithmetic == "released" else "stochastic"
        look = WAYS[arithmetic, rounding][1] | {"marker": MARKERS[dtype]}
        axes.plot(line["steps"], line["drift"], **look, clip_on=False, zorder=3)
        if arithmetic == "released":
            middle = line.iloc[len(line) // 2]
            # Above its line, unless another one lies close above that.
            place = {"xytext": (0, 6), "ha": "right"}
            if dtype == "float16":
                place = {"xytext": (0, -6), "ha": "left", "va": "top"}
            axes.annotate(
                dtype,
                (middle["steps"], middle["drift"]),
                textcoords="offset points",
                color=look["color"],
                **place,
            )
    ours = here.loc[here["arithmetic"] == "exact", "drift"]
    if len(ours) and (ours == 0).all():
        text = "ours: 0, bit for bit"
        color = WAYS["exact", "stochastic"][1]["color"]
        axes.annotate(text, (1, 0), xytext=(0, 5), textcoords="offset points", color=color)
    axes.set_xscale("log")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_yscale("symlog", linthresh=SMALLEST_DRIFT, linscale=0.8)
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_locator(FixedLocator([0, 1e-8, 1e-6, 1e-4, 1e-2, 1]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_ylabel("relative RMS change")


def _fraction(axes: Axes, here: pd.DataFrame, dtype: str) -> None:
    wide = here[(here["dtype"] == "float32") & (here["arithmetic"] == "released")].sort_values("size")
    look = {"color": "#555555", "lw": 0.8, "ls": ":", "zorder": 4}
    axes.plot(wide["size"], 100 * wide["fraction"], **look, label="released, float32")
    of_dtype = here[here["dtype"] == dtype]
    for (arithmetic, rounding), (label, look) in WAYS.items():
        same = of_dtype["rounding"].isna() if rounding is None else of_dtype["rounding"] == rounding
        line = of_dtype[(of_dtype["arithmetic"] == arithmetic) & same].sort_values("size")
        axes.errorbar(
            line["size"],
            100 * line["fraction"],
            yerr=100 * line["standard_error"],
            **look,
            elinewidth=0.8,
            label=label,
            zorder=3,
        )
    axes.set_xscale("log")
    axes.set_ylim(-4, 112)
    axes.set_ylabel("part realized (%)")
