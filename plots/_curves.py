"""Evaluation curves: means over seeds, a line with its band, and a logarithmic axis that includes zero."""

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from plots._style import MethodStyle

# The x axis is logarithmic if the longest run is more than this many times as long as the shortest.
LOG_AXIS_RATIO = 4
MEANS = ("step", "score", "loss", "train_seconds", "examples", "forward_equivalents")


def means(selected: pd.DataFrame) -> pd.DataFrame:
    """Return one row per evaluation of each method: means over seeds, with `_std` for score and loss.

    Each row also has `n`, the number of seeds, and `majority_validation`.

    The k-th evaluations of all seeds form one point, because under a budget of seconds the seeds are not
    evaluated at the same steps. `best` marks the checkpoint that validation selected for the first seed.

    Args:
        selected: the runs at one setting of each method.
    """
    runs = selected[(selected["outcome"] == "done") & (selected["curve"].map(len) > 1)]
    keep = ["model", "task", "label", "title", "metric", "best_step", "seed", "majority_validation"]
    flat = [
        dict(zip(keep, run, strict=True)) | {k: e.get(k) for k in MEANS} | {"number": number}
        for *run, curve in runs[[*keep, "curve"]].itertuples(index=False, name=None)
        for number, e in enumerate(curve)
    ]
    points = pd.DataFrame(flat, columns=[*keep, *MEANS, "number"]).astype(dict.fromkeys(MEANS, float))
    points["best"] = points["step"] == points["best_step"]
    groups = points.groupby(["model", "task", "label", "title", "metric", "number"], sort=False)
    mean = groups[[*MEANS, "majority_validation"]].mean()
    spread = groups[["score", "loss"]].std(ddof=1).add_suffix("_std")
    mean = mean.join(spread).join(groups[["best", "best_step"]].first()).join(groups.size().rename("n"))
    return mean.reset_index()


def curve(
    axes: Axes, line: pd.DataFrame, column: str, measure: str, scale: float, style: MethodStyle
) -> None:
    """Draw one method's mean curve with its band, and mark the checkpoint that validation selected."""
    x, y, spread = line[column], scale * line[measure], scale * line[f"{measure}_std"]
    axes.plot(x, y, color=style.color)
    if spread.notna().any():
        axes.fill_between(x, y - spread, y + spread, color=style.color, alpha=0.18, lw=0)
    best = line["best"].astype(bool)
    axes.plot(x[best], y[best], ls="none", marker=style.marker, color=style.color, mec="white", mew=0.4, ms=5)


def needs_log_axis(ends: pd.Series) -> bool:
    """Return whether runs with these last x values need a logarithmic axis."""
    return ends.max() > LOG_AXIS_RATIO * ends.min()


def symlog(axes: Axes, first: float, last: float) -> None:
    """Make the x axis logarithmic from the first evaluation on, with zero at the left edge."""
    axes.set_xscale("symlog", linthresh=first, linscale=0.5)
    powers = range(math.ceil(math.log10(first)), math.floor(math.log10(last * 1.15)) + 1)
    axes.xaxis.set_major_locator(FixedLocator([0, *(10.0**p for p in powers)]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}" if x < 1e4 else f"{x / 1000:g}k"))
    axes.set_xlim(0, last * 1.15)
