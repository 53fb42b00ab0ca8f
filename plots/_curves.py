"""Curves of evaluations: means over seeds, their line with its band, and a logarithmic axis from zero."""

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from plots._style import MethodStyle

SPAN = 4  # a longest run this many times the shortest is shown on a logarithmic axis
MEANS = ("step", "score", "loss", "train_seconds", "examples", "forward_equivalents")


def means(selected: pd.DataFrame) -> pd.DataFrame:
    """Return one line for each evaluation of each method: means over seeds, `_std` beside score and loss.

    The first evaluations of all seeds make one point, the second ones the next, and so on: under a budget of
    seconds no two seeds are evaluated at the same step. `best` tells the one that validation chose, of the
    first seed.

    Args:
        selected: runs of one setting of each method.
    """
    runs = selected[(selected["outcome"] == "done") & (selected["curve"].map(len) > 1)]
    keep = ["model", "task", "label", "title", "metric", "best_step", "seed"]
    flat = [
        dict(zip(keep, run, strict=True)) | {k: e.get(k) for k in MEANS} | {"number": number}
        for *run, curve in runs[[*keep, "curve"]].itertuples(index=False, name=None)
        for number, e in enumerate(curve)
    ]
    points = pd.DataFrame(flat, columns=[*keep, *MEANS, "number"]).astype(dict.fromkeys(MEANS, float))
    points["best"] = points["step"] == points["best_step"]
    groups = points.groupby(["model", "task", "label", "title", "metric", "number"], sort=False)
    mean = groups[list(MEANS)].mean()
    spread = groups[["score", "loss"]].std(ddof=1).add_suffix("_std")
    return mean.join(spread).join(groups[["best", "best_step"]].first()).reset_index()


def curve(axes: Axes, line: pd.DataFrame, column: str, measure: str, scale: float, this: MethodStyle) -> None:
    """One method's means with their band, and the checkpoint that validation chose."""
    x, y, spread = line[column], scale * line[measure], scale * line[f"{measure}_std"]
    axes.plot(x, y, color=this.color)
    if spread.notna().any():
        axes.fill_between(x, y - spread, y + spread, color=this.color, alpha=0.18, lw=0)
    best = line["best"].astype(bool)
    axes.plot(x[best], y[best], ls="none", marker=this.marker, color=this.color, mec="white", mew=0.4, ms=5)


def spans(ends: pd.Series) -> bool:
    """Whether runs that end there need a logarithmic axis."""
    return ends.max() > SPAN * ends.min()


def symlog(axes: Axes, first: float, last: float) -> None:
    """Zero at the left edge, then logarithmic from the first evaluation on."""
    axes.set_xscale("symlog", linthresh=first, linscale=0.5)
    powers = range(math.ceil(math.log10(first)), math.floor(math.log10(last * 1.15)) + 1)
    axes.xaxis.set_major_locator(FixedLocator([0, *(10.0**p for p in powers)]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}" if x < 1e4 else f"{x / 1000:g}k"))
    axes.set_xlim(0, last * 1.15)
