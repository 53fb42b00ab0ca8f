"""Accuracy or F1, peak memory and time to converge: bars by task and method (Addax, Figures 1 and 2).

Source: arXiv 2410.06441. Zero-shot is a dashed line in the first panel; a run without a score is marked
"failed", "OOM" or "killed" in the place of its bar. Time is training seconds to the chosen checkpoint.
"""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, NullFormatter

from benchmarks.results.frame import ordered, score_name, summary
from plots._style import legend_above, looks, shown, style, width_for

SUITE = "quick"
BARS = 0.86  # share of a task's place that bars may take


def draw(data: pd.DataFrame) -> dict[str, Figure]:
    """One figure a model, keyed by file stem. `data` is `benchmarks.results.frame.frame`'s."""
    look = looks(ordered(data, "label"))
    means = summary(data)
    models = ordered(means[means["label"] != "zero-shot"], "model")
    with style():
        return {f"figure1-{m}": _figure(means[means["model"] == m], look, m) for m in models}


def numbers(data: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """What each figure of `draw` shows."""
    means = summary(data)
    models = ordered(means[means["label"] != "zero-shot"], "model")
    columns = [name for name in means if name not in ("shots", "lr", "steps", "auc", "auc_std")]
    return {f"figure1-{m}": means.loc[means["model"] == m, columns] for m in models}


def _figure(means: pd.DataFrame, look: dict, model: str) -> Figure:
    bars = means[means["label"] != "zero-shot"]
    tasks = ordered(means, "task")
    figure = Figure(figsize=(width_for(len(tasks)), 5.4), layout="constrained")
    score, memory, time = figure.subplots(3, sharex=True)
    unit, name = _memory_unit(bars["peak_bytes"].max())
    _panel(score, bars, tasks, look, "score", 100)
    _zero_shot(score, means, tasks, look)
    score.set(ylabel=f"{score_name(means)} (%)", ylim=(0, 100))
    _panel(memory, bars, tasks, look, "peak_bytes", 1 / unit)
    memory.set(ylabel=f"peak memory ({name})")
    _panel(time, bars, tasks, look, "seconds", 1, log=True)
    time.set(ylabel="time to converge (s)")
    titles = means.drop_duplicates("task").set_index("task")["title"]
    time.set_xticks(range(len(tasks)), [titles[t] for t in tasks])
    for axes in (score, memory, time):
        axes.set_xlim(-0.5, len(tasks) - 0.5)
        axes.tick_params(axis="x", length=0)
    labels = ordered(bars, "label")
    keys = [Patch(facecolor=look[m].color, hatch=look[m].hatch, edgecolor="white", lw=0) for m in labels]
    if (means["label"] == "zero-shot").any():
        keys.append(Line2D([], [], color=look["zero-shot"].color, ls=(0, (3, 1.5)), lw=1))
        labels = [*labels, "zero-shot"]
    legend_above(figure, keys, labels, shown(model), handlelength=1.4)
    return figure


def _memory_unit(most: float) -> tuple[float, str]:
    return (1e9, "GB") if most >= 1e9 else (1e6, "MB")


def _panel(
    axes: Axes, bars: pd.DataFrame, tasks: list, look: dict, column: str, scale: float, log: bool = False
) -> None:
    """Bars of one measure; every bar of the figure is equally wide, and a task's bars stand centred."""
    width = BARS / bars.groupby("task").size().max()
    if log:
        shown = bars[column][bars[column] > 0] * scale
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        if len(shown):
            # Room for a marked run, and at least two decades, so that one labelled tick is never alone.
            most = scale * (bars[column] + bars[f"{column}_std"].fillna(0)).max()
            axes.set_ylim(shown.min() / 3, max(most * 1.3, shown.min() * 30))
    for i, task in enumerate(tasks):
        here = bars[bars["task"] == task]
        left = i - width * (len(here) - 1) / 2
        for j, line in enumerate(here.itertuples()):
            x, this = left + j * width, look[line.label]
            value, spread = getattr(line, column) * scale, getattr(line, f"{column}_std") * scale
            if line.outcome != "done" or value == 0:
                text = "0" if line.outcome == "done" else line.outcome
                axes.annotate(
                    text,
                    (x, 0),
                    (0, 2),
                    xycoords=("data", "axes fraction"),
                    textcoords="offset points",
                    rotation=90,
                    ha="center",
                    va="bottom",
                    fontsize=7,
                    path_effects=[withStroke(linewidth=1, foreground="white")],
                )
            elif value > 0:
                axes.bar(
                    x,
                    value,
                    width * 0.9,
                    color=this.color,
                    hatch=this.hatch,
                    edgecolor="white",
                    lw=0,
                    yerr=spread if spread > 0 else None,
                    error_kw={"lw": 0.7, "ecolor": "#444444"},
                    label=line.label,
                )


def _zero_shot(axes: Axes, means: pd.DataFrame, tasks: list, look: dict) -> None:
    shots = means[(means["label"] == "zero-shot") & (means["outcome"] == "done")].set_index("task")["score"]
    for task, score in shots.items():
        i = tasks.index(task)
        axes.plot(
            [i - 0.45, i + 0.45],
            [100 * score] * 2,
            color=look["zero-shot"].color,
            ls=(0, (3, 1.5)),
            lw=1,
            label="zero-shot",
            path_effects=[withStroke(linewidth=2, foreground="white")],
        )
