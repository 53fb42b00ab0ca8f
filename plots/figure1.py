"""Accuracy or F1, peak memory, and time to converge: bars by task and method (Addax, Figures 1 and 2).

Zero-shot is a dashed line in the first panel, and the majority score a thinner one. A run without a score is
marked "failed", "OOM", or "killed" instead of a bar. Time is the training time, in seconds, up to the
selected checkpoint. If runs have a length threshold, figures with a single panel show the scores on long and
on short test rows. Source: arXiv 2410.06441.
"""

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, NullFormatter

from benchmarks.config.names import ZERO_SHOT
from benchmarks.results import majority
from benchmarks.results.frame import Results
from benchmarks.results.order import display_order, task_heading
from benchmarks.results.select import CELL
from plots._scores import axis_label, majority_key, majority_line
from plots._style import PAGE, Page, format_model, legend_above, small, styles

SUITE = "quick"
BARS = 0.86  # share of a task's width that bars occupy
# Ending of the file stem -> column of the scores, and the test rows that they are on.
VARIANTS = {"": ("score", ""), "-long": ("score_long", "long"), "-short": ("score_short", "short")}


def draw(results: Results, page: Page = PAGE) -> dict[str, Figure]:
    """Return the figures of each model, keyed by file stem."""
    return figures_of(results, results.means, "figure1", page)


def numbers(results: Results) -> dict[str, pd.DataFrame]:
    """Return the numbers in each figure of `draw`, keyed by file stem."""
    return numbers_of(results.means, "figure1")


def figures_of(results: Results, means: pd.DataFrame, name: str, page: Page) -> dict[str, Figure]:
    """Return the figures of means, keyed by file stems that begin with `name`."""
    style_of = styles(display_order(results.runs, "label"))
    return {
        stem: _figure(part, VARIANTS[ending], style_of, page)
        for stem, (part, ending) in _by_model(means, name).items()
    }


def numbers_of(means: pd.DataFrame, name: str) -> dict[str, pd.DataFrame]:
    """Return the columns of means that each figure of `figures_of` shows, keyed by file stem."""
    shown = {}
    for stem, (part, ending) in _by_model(means, name).items():
        column, rows = VARIANTS[ending]
        measures = [column, majority.BESIDE[column]]
        measures += [] if rows else ["loss", "peak_bytes", "seconds"]
        columns = [*CELL, "title", "metric", "outcome", "n", "failed"]
        columns += ["long_above_tokens"] if rows else []
        shown[stem] = part[[*columns, *measures, *(f"{name}_std" for name in measures)]]
    return shown


def _by_model(means: pd.DataFrame, name: str) -> dict[str, tuple[pd.DataFrame, str]]:
    """Return the means and the key in `VARIANTS` of each figure of a trained model, keyed by file stem."""
    models = display_order(means[means["label"] != ZERO_SHOT], "model")
    found = {}
    for ending, (column, rows) in VARIANTS.items():
        for model in models:
            part = means[means["model"] == model]
            if rows:
                part = part[part.groupby("label")[column].transform("count") > 0]
            if (part["label"] != ZERO_SHOT).any():
                found[f"{name}-{model}{ending}"] = part, ending
    return found


def _figure(means: pd.DataFrame, variant: tuple[str, str], style_of: dict, page: Page) -> Figure:
    """Return a figure of one model: three panels for all test rows, and one for long or for short rows."""
    column, rows = variant
    bars = means[means["label"] != ZERO_SHOT]
    tasks, model = display_order(means, "task"), means["model"].iloc[0]
    figure = page.figure(len(tasks), 2.6 if rows else 5.4)
    panels = list(figure.subplots(1 if rows else 3, sharex=True, squeeze=False).flat)
    _panel(panels[0], bars, tasks, style_of, column, 100)
    _zero_shot(panels[0], means, tasks, style_of, column)
    on = f" on {rows} rows" if rows else ""
    references = majority.by_task(means, column)
    for task, score in references.items():
        i = tasks.index(task)
        majority_line(panels[0], score, (i - 0.45, i + 0.45))
    # Matthews correlation can be negative.
    signed = means[means["metric"] == "matthews"]
    ends = (signed[column] - signed[f"{column}_std"].fillna(0)).dropna()
    lowest = 100 * min([0, *ends, *references.values()])
    panels[0].set_ylabel(axis_label(means, where=on, most=32 if rows else 24))
    panels[0].set_ylim(lowest - 5 if lowest < 0 else 0, 100)
    if lowest < 0:
        panels[0].axhline(0, color="#444444", lw=0.6)
    if not rows:
        unit, name = _memory_unit(bars["peak_bytes"].max())
        _panel(panels[1], bars, tasks, style_of, "peak_bytes", 1 / unit)
        panels[1].set(ylabel=f"peak memory ({name})")
        _panel(panels[2], bars, tasks, style_of, "seconds", 1, log=True)
        panels[2].set(ylabel="time to converge (s)")
    first = means.drop_duplicates("task")
    titles = {line.task: task_heading(line.title, line.metric) for line in first.itertuples()}
    panels[-1].set_xticks(range(len(tasks)), [titles[t] for t in tasks])
    for axes in panels:
        axes.set_xlim(-0.5, len(tasks) - 0.5)
        axes.tick_params(axis="x", length=0)
    labels = display_order(bars, "label")
    keys = [
        Patch(facecolor=style_of[label].color, hatch=style_of[label].hatch, edgecolor="white", lw=0)
        for label in labels
    ]
    if (means["label"] == ZERO_SHOT).any():
        keys.append(Line2D([], [], color=style_of[ZERO_SHOT].color, ls=(0, (3, 1.5)), lw=1))
        labels = [*labels, ZERO_SHOT]
    if references:
        keys, labels = [*keys, majority_key()], [*labels, majority.LABEL]
    legend_above(figure, keys, labels, format_model(model), handlelength=1.4)
    return figure


def _memory_unit(most: float) -> tuple[float, str]:
    return (1e9, "GB") if most >= 1e9 else (1e6, "MB")


def _panel(
    axes: Axes, bars: pd.DataFrame, tasks: list, style_of: dict, column: str, scale: float, log: bool = False
) -> None:
    """Draw the bars of one measure. All bars have the same width; the bars of a task are centered."""
    width = BARS / bars.groupby("task").size().max()
    if log:
        positive = bars[column][bars[column] > 0] * scale
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        if len(positive):
            # Leave room for the marks of failed runs. Span about two decades, so that at least two ticks have
            # labels.
            most = scale * (bars[column] + bars[f"{column}_std"].fillna(0)).max()
            axes.set_ylim(positive.min() / 3, max(most * 1.3, positive.min() * 30))
    for i, task in enumerate(tasks):
        subset = bars[bars["task"] == task]
        left = i - width * (len(subset) - 1) / 2
        for j, line in enumerate(subset.itertuples()):
            x, style = left + j * width, style_of[line.label]
            value, spread = getattr(line, column) * scale, getattr(line, f"{column}_std") * scale
            if line.outcome != "done" or value == 0:
                text = "0" if line.outcome == "done" else line.outcome
                axes.annotate(
                    text,
                    (x, 0),
                    (0, 2),
                    xycoords="data" if line.outcome == "done" and not log else ("data", "axes fraction"),
                    textcoords="offset points",
                    rotation=90,
                    ha="center",
                    va="bottom",
                    fontsize=small(),
                    path_effects=[withStroke(linewidth=1, foreground="white")],
                )
            elif not math.isnan(value):
                axes.bar(
                    x,
                    value,
                    width * 0.9,
                    color=style.color,
                    hatch=style.hatch,
                    edgecolor="white",
                    lw=0,
                    yerr=spread if spread > 0 else None,
                    error_kw={"lw": 0.7, "ecolor": "#444444"},
                    label=line.label,
                )


def _zero_shot(axes: Axes, means: pd.DataFrame, tasks: list, style_of: dict, column: str) -> None:
    zero_shot = means[(means["label"] == ZERO_SHOT) & (means["outcome"] == "done")].set_index("task")[column]
    for task, score in zero_shot.items():
        i = tasks.index(task)
        axes.plot(
            [i - 0.45, i + 0.45],
            [100 * score] * 2,
            color=style_of[ZERO_SHOT].color,
            ls=(0, (3, 1.5)),
            lw=1,
            label=ZERO_SHOT,
            path_effects=[withStroke(linewidth=2, foreground="white")],
        )
