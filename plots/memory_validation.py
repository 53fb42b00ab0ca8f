"""Predicted peaks against measured ones, every method on every model and length.

Rows of `memory_validation`. The lower panels show the difference; a shaded band is what is allowed: 2 %
on a CPU, 5 % on a GPU.
"""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.results.frame import Results
from plots._style import PAGE, Page

STUDY = "memory-validation"
# Okabe and Ito's palette.
FAMILIES = {
    "OPT": {"color": "#0072B2", "marker": "o"},
    "Llama": {"color": "#D55E00", "marker": "^"},
    "RoBERTa": {"color": "#009E73", "marker": "s"},
}
WITHIN = {"cpu": 2.0, "cuda": 5.0}
TITLES = {"cpu": "CPU, MB", "cuda": "GPU, GB"}
UNITS = {"cpu": 1e6, "cuda": 1e9}


def draw(results: Results, page: Page = PAGE) -> dict[str, Figure]:
    """Return one figure, a column a kind of device; `results` hold one row a pair of peaks."""
    known = results.runs[results.runs["measured_bytes"].notna()]
    devices = [device for device in WITHIN if device in set(known["device"])]
    if not devices:
        return {}
    figure = page.figure(3, 3.6)
    grid = figure.subplots(2, len(devices), squeeze=False, sharex="col", height_ratios=(2, 1))
    for device, (upper, lower) in zip(devices, grid.T, strict=True):
        here = known[known["device"] == device]
        unit = UNITS[device]
        _both(upper, here, unit)
        _difference(lower, here, unit, WITHIN[device])
        upper.set_title(f"{TITLES[device]}: {len(here)} pairs")
        lower.set_xlabel(f"measured peak ({TITLES[device][-2:]})")
    grid[0][0].set_ylabel("predicted peak")
    grid[1][0].set_ylabel("difference (%)")
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    return {"memory_validation": figure}


def _both(axes: Axes, here: pd.DataFrame, unit: float) -> None:
    ends = [here["measured_bytes"].min() / unit, here["measured_bytes"].max() / unit]
    axes.plot(ends, ends, color="#999999", lw=0.8, zorder=1)
    for family, look in FAMILIES.items():
        of = here[here["family"] == family]
        axes.plot(
            of["measured_bytes"] / unit,
            of["predicted_bytes"] / unit,
            ls="",
            ms=3,
            mfc="none",
            mew=0.7,
            label=family,
            **look,
        )
    axes.set_xscale("log")
    axes.set_yscale("log")


def _difference(axes: Axes, here: pd.DataFrame, unit: float, within: float) -> None:
    axes.axhspan(-within, within, color="#eeeeee", zorder=0)
    for family, look in FAMILIES.items():
        of = here[here["family"] == family]
        off = 100 * (of["predicted_bytes"] / of["measured_bytes"] - 1)
        axes.plot(of["measured_bytes"] / unit, off, ls="", ms=3, mfc="none", mew=0.7, **look)
