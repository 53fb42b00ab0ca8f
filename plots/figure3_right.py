"""Accuracy beside memory: IP-SGD with small batches, and Adam (Addax, Figure 3 right).

A point is a method with one batch size, the mean over seeds; bars are the standard deviation, where there are
several. Source: arXiv 2410.06441.
"""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from benchmarks.results.frame import ordered, score_name, summary
from plots._style import looks, shown, style, width_for

SUITE = "figure3-right"
METHODS = ("IP-SGD", "Adam")
FEWEST = 3  # batch sizes of IP-SGD
MEGA, GIGA = 1e6, 1e9


def draw(data: pd.DataFrame) -> dict[str, Figure]:
    """A figure for each model that has both, a panel for each task. `data` is `results.frame.frame`'s."""
    points = _points(data)
    with style():
        return {
            f"figure3_right-{model.replace('/', '_')}": _figure(points[points["model"] == model], model)
            for model in points["model"].unique()
        }


def numbers(data: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """What each figure of `draw` shows."""
    points = _points(data)
    columns = ["model", "task", "label", "k1", "n", "score", "score_std", "peak_bytes", "peak_bytes_std"]
    return {
        f"figure3_right-{model.replace('/', '_')}": points.loc[points["model"] == model, columns]
        for model in points["model"].unique()
    }


def _points(data: pd.DataFrame) -> pd.DataFrame:
    """Mean over seeds of each model, task, method and batch size, where a task has enough of them."""
    done = data[(data["outcome"] == "done") & data["label"].isin(METHODS)] if len(data) else data
    found = [summary(part).assign(k1=int(k1)) for k1, part in done.groupby("fo_batch_size")]
    points = pd.concat(found) if found else pd.DataFrame(columns=["model", "task", "label", "k1"])
    return points.groupby(["model", "task"], sort=False).filter(_has_both) if len(points) else points


def _has_both(here: pd.DataFrame) -> bool:
    sizes = here.groupby("label")["k1"].nunique()
    return sizes.get("IP-SGD", 0) >= FEWEST and "Adam" in sizes


def _figure(points: pd.DataFrame, model: str) -> Figure:
    tasks = ordered(points, "task")
    figure = Figure(figsize=(width_for(min(len(tasks), 3)), 2.5), layout="constrained")
    unit, name = (GIGA, "GB") if points["peak_bytes"].max() >= GIGA else (MEGA, "MB")
    for axes, task in zip(figure.subplots(1, len(tasks), squeeze=False)[0], tasks, strict=True):
        here = points[points["task"] == task]
        _panel(axes, here, unit)
        axes.set_title(here["title"].iloc[0])
    figure.axes[0].set_ylabel(f"{score_name(points)} (%)")
    figure.supxlabel(f"peak memory ({name})", fontsize=7.5)
    figure.suptitle(f"{shown(model)}; numbers are batch sizes", fontsize=8)
    return figure


def _panel(axes: Axes, here: pd.DataFrame, unit: float) -> None:
    look = looks(METHODS)
    for label in ordered(here, "label"):
        line = here[here["label"] == label].sort_values("k1")
        x, y, spread = line["peak_bytes"] / unit, 100 * line["score"], 100 * line["score_std"]
        axes.errorbar(
            x, y, yerr=spread if spread.notna().any() else None, color=look[label].color,
            marker=look[label].marker, lw=0.8, elinewidth=0.8, capsize=2, label=label,
        )  # fmt: skip
        for left, height, size in zip(x, y, line["k1"], strict=True):
            axes.annotate(f"{size}", (left, height), (4, 4), textcoords="offset points", fontsize=7)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(0.2, 0.25)
    axes.legend(loc="best")
