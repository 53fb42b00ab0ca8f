"""Accuracy or F1, peak memory, and time to converge: bars by task and method (Addax, Figures 1 and 2).

Zero-shot is a dashed line in the first panel. A run without a score is marked "failed", "OOM", or "killed"
instead of a bar. Time is the training time, in seconds, up to the selected checkpoint. Source: arXiv
2410.06441.
"""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, NullFormatter

from benchmarks.config.names import ZERO_SHOT
from benchmarks.results.frame import Results
from benchmarks.results.order import display_order, score_name
from plots._style import PAGE, Page, format_model, legend_above, small, styles

SUITE = "quick"
BARS = 0.86  # share of a task's width that bars occupy


def draw(results: Results, page: Page = PAGE) -> dict[str, Figure]:
    """Return a figure per model, keyed by file stem."""
    style_of = styles(display_order(results.runs, "label"))
    return {
        stem: figure_of(means, style_of, page) for stem, means in by_model(results.means, "figure1").items()
    }


def numbers(results: Results) -> dict[str, pd.DataFrame]:
    """Return the numbers in each figure of `draw`, keyed by file stem."""
    return {stem: shown_columns(means) for stem, means in by_model(results.means, "figure1").items()}


def by_model(means: pd.DataFrame, name: str) -> dict[str, pd.DataFrame]:
    """Return the means of each trained model, keyed by the file stem of its figure."""
    models = display_order(means[means["label"] != ZERO_SHOT], "model")
    return {f"{name}-{model}": means[means["model"] == model] for model in models}


def shown_columns(means: pd.DataFrame) -> pd.DataFrame:
    """Return the columns of `means` that the figure shows."""
    return means.drop(columns=["shots", "lr", "steps", "auc", "auc_std"])


def figure_of(means: pd.DataFrame, style_of: dict, page: Page) -> Figure:
    """Return a figure with the three panels of one model."""
    bars = means[means["label"] != ZERO_SHOT]
    tasks, model = display_order(means, "task"), means["model"].iloc[0]
    figure = page.figure(len(tasks), 5.4)
    score, memory, time = figure.subplots(3, sharex=True)
    unit, name = _memory_unit(bars["peak_bytes"].max())
    _panel(score, bars, tasks, style_of, "score", 100)
    _zero_shot(score, means, tasks, style_of)
    score.set(ylabel=f"{score_name(means)} (%)", ylim=(0, 100))
    _panel(memory, bars, tasks, style_of, "peak_bytes", 1 / unit)
    memory.set(ylabel=f"peak memory ({name})")
    _panel(time, bars, tasks, style_of, "seconds", 1, log=True)
    time.set(ylabel="time to converge (s)")
    titles = means.drop_duplicates("task").set_index("task")["title"]
    time.set_xticks(range(len(tasks)), [titles[t] for t in tasks])
    for axes in (score, memory, time):
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
                    xycoords=("data", "axes fraction"),
                    textcoords="offset points",
                    rotation=90,
                    ha="center",
                    va="bottom",
                    fontsize=small(),
                    path_effects=[withStroke(linewidth=1, foreground="white")],
                )
            elif value > 0:
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


def _zero_shot(axes: Axes, means: pd.DataFrame, tasks: list, style_of: dict) -> None:
    zero_shot = means[(means["label"] == ZERO_SHOT) & (means["outcome"] == "done")].set_index("task")["score"]
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
