"""Drift of the weights and realized fraction of a step in 16 bits: our arithmetic and the published one.

Drift is the change of the weights after steps at lr = 0. Its axis is linear below 1e-8 and so includes 0.
Drawn from rows of `benchmarks.studies.precision`. Source of the published procedure: arXiv 2305.17333.
"""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from benchmarks.results.frame import Results
from plots._style import PAGE, Page, legend_above

STUDY = "precision"
# Label and style for each arithmetic and rounding. Colors are Okabe and Ito's; lines and markers differ too.
VARIANTS = {
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
    """Return one figure with a row of panels per set of weights; `results` hold one row per measurement."""
    data = results.runs
    weights = list(dict.fromkeys(data["weights"]))
    half_dtypes = [dtype for dtype in ("bfloat16", "float16") if dtype in set(data["dtype"])]
    panels = [(name, dtype) for name in weights for dtype in (None, *half_dtypes)]
    columns = page.columns(1 + len(half_dtypes))
    columns = columns if columns == 1 + len(half_dtypes) else 1
    lines = len(panels) // columns
    figure = page.figure(1 + len(half_dtypes), 0.5 + 2.0 * lines)
    grid = figure.subplots(lines, columns, squeeze=False, sharex="col" if columns > 1 else False)
    for axes, (name, dtype) in zip(grid.flat, panels, strict=True):
        subset = data[data["weights"] == name]
        title = TITLES.get(name, name)
        axes.set_title(f"{title}: step, {dtype}" if dtype else f"{title}: drift")
        if dtype:
            _fraction(axes, subset[subset["measure"] == "fraction"], dtype)
        else:
            _drift(axes, subset[subset["measure"] == "drift"])
        if columns == 1 or axes in grid[-1]:
            axes.set_xlabel("lr × projected_grad" if dtype else "steps at lr = 0")
    handles, labels = grid.flat[len(half_dtypes)].get_legend_handles_labels()
    legend_above(figure, handles, labels, "")
    return {"precision": figure}


def _drift(axes: Axes, subset: pd.DataFrame) -> None:
    for (arithmetic, dtype), line in subset.groupby(["arithmetic", "dtype"], sort=False):
        line = line.sort_values("steps")
        rounding = None if arithmetic == "released" else "stochastic"
        style = VARIANTS[arithmetic, rounding][1] | {"marker": MARKERS[dtype]}
        axes.plot(line["steps"], line["drift"], **style, clip_on=False, zorder=3)
        if arithmetic == "released":
            middle = line.iloc[len(line) // 2]
            # The label is above its line, except for float16, which has another line close above it.
            offset = {"xytext": (0, 6), "ha": "right"}
            if dtype == "float16":
                offset = {"xytext": (0, -6), "ha": "left", "va": "top"}
            axes.annotate(
                dtype,
                (middle["steps"], middle["drift"]),
                textcoords="offset points",
                color=style["color"],
                **offset,
            )
    ours = subset.loc[subset["arithmetic"] == "exact", "drift"]
    if len(ours) and (ours == 0).all():
        text = "ours: exactly 0"
        color = VARIANTS["exact", "stochastic"][1]["color"]
        axes.annotate(text, (1, 0), xytext=(0, 5), textcoords="offset points", color=color)
    axes.set_xscale("log")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_yscale("symlog", linthresh=SMALLEST_DRIFT, linscale=0.8)
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_locator(FixedLocator([0, 1e-8, 1e-6, 1e-4, 1e-2, 1]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_ylabel("relative RMS change")


def _fraction(axes: Axes, subset: pd.DataFrame, dtype: str) -> None:
    float32_rows = subset[(subset["dtype"] == "float32") & (subset["arithmetic"] == "released")].sort_values(
        "size"
    )
    style = {"color": "#555555", "lw": 0.8, "ls": ":", "zorder": 4}
    axes.plot(float32_rows["size"], 100 * float32_rows["fraction"], **style, label="released, float32")
    rows_of_dtype = subset[subset["dtype"] == dtype]
    for (arithmetic, rounding), (label, style) in VARIANTS.items():
        with_rounding = (
            rows_of_dtype["rounding"].isna() if rounding is None else rows_of_dtype["rounding"] == rounding
        )
        line = rows_of_dtype[(rows_of_dtype["arithmetic"] == arithmetic) & with_rounding].sort_values("size")
        axes.errorbar(
            line["size"],
            100 * line["fraction"],
            yerr=100 * line["standard_error"],
            **style,
            elinewidth=0.8,
            label=label,
            zorder=3,
        )
    axes.set_xscale("log")
    axes.set_ylim(-4, 112)
    axes.set_ylabel("fraction realized (%)")
