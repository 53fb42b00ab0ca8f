"""Predicted against measured peak memory, for every method, model, and length.

The lower panels show the difference in percent. The shaded band is the tolerance: 2 % on a CPU and 5 % on
a GPU. Drawn from rows of `benchmarks.studies.memory_validation`.
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
TOLERANCE = {"cpu": 2.0, "cuda": 5.0}  # percent
TITLES = {"cpu": "CPU, MB", "cuda": "GPU, GB"}
UNITS = {"cpu": 1e6, "cuda": 1e9}


def draw(results: Results, page: Page = PAGE) -> dict[str, Figure]:
    """Return one figure with a column per kind of device; `results` hold one row per pair of peaks."""
    measured = results.runs[results.runs["measured_bytes"].notna()]
    devices = [device for device in TOLERANCE if device in set(measured["device"])]
    if not devices:
        return {}
    figure = page.figure(3, 3.6)
    grid = figure.subplots(2, len(devices), squeeze=False, sharex="col", height_ratios=(2, 1))
    for device, (upper, lower) in zip(devices, grid.T, strict=True):
        subset = measured[measured["device"] == device]
        unit = UNITS[device]
        _peaks(upper, subset, unit)
        _difference(lower, subset, unit, TOLERANCE[device])
        upper.set_title(f"{TITLES[device]}: {len(subset)} pairs")
        lower.set_xlabel(f"measured peak ({TITLES[device][-2:]})")
    grid[0][0].set_ylabel("predicted peak")
    grid[1][0].set_ylabel("difference (%)")
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    return {"memory_validation": figure}


def _peaks(axes: Axes, subset: pd.DataFrame, unit: float) -> None:
    limits = [subset["measured_bytes"].min() / unit, subset["measured_bytes"].max() / unit]
    axes.plot(limits, limits, color="#999999", lw=0.8, zorder=1)
    for family, style in FAMILIES.items():
        rows = subset[subset["family"] == family]
        axes.plot(
            rows["measured_bytes"] / unit,
            rows["predicted_bytes"] / unit,
            ls="",
            ms=3,
            mfc="none",
            mew=0.7,
            label=family,
            **style,
        )
    axes.set_xscale("log")
    axes.set_yscale("log")


def _difference(axes: Axes, subset: pd.DataFrame, unit: float, tolerance: float) -> None:
    axes.axhspan(-tolerance, tolerance, color="#eeeeee", zorder=0)
    for family, style in FAMILIES.items():
        rows = subset[subset["family"] == family]
        difference = 100 * (rows["predicted_bytes"] / rows["measured_bytes"] - 1)
        axes.plot(rows["measured_bytes"] / unit, difference, ls="", ms=3, mfc="none", mew=0.7, **style)
