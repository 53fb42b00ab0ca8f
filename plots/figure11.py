"""Convergence in pairs: Addax-WA and MeZO at equal batches; Addax and SGD with 4x the first-order examples.

The means over seeds at each evaluation, with a band of one standard deviation; the legends tell the examples
of a batch. Source: arXiv 2410.06441, Figure 11, whose batches are K0 + K1 = 16 and K1 = 4 beside SGD's 16.
"""

from collections.abc import Iterator

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmarks.results.frame import Results
from benchmarks.results.order import score_name
from benchmarks.results.select import CELL, keep_best
from plots._curves import curve, means, spans, symlog
from plots._style import PAGE, Page, format_model, styles

SUITE = "figure11"
FEWER = 4  # times as many first-order examples as Addax's has SGD's batch
# Title, labels, and the number that must be equal in both.
PAIRS = (
    (
        "equal batches",
        {
            "Addax-WA": lambda run: run["zo_batch_size"] + run["fo_batch_size"],
            "MeZO": lambda run: run["zo_batch_size"],
        },
    ),
    (
        f"{FEWER}x fewer first-order examples",
        {
            "Addax": lambda run: FEWER * run["fo_batch_size"],
            "SGD": lambda run: run["fo_batch_size"],
        },
    ),
)


def draw(results: Results, page: Page = PAGE) -> dict[str, Figure]:
    """Return a figure for each model and task that has a pair."""
    return {
        f"figure11-{model}-{task}": _figure(found, model, page) for model, task, found in _pairs(results.runs)
    }


def numbers(results: Results) -> dict[str, pd.DataFrame]:
    """Return what each figure of `draw` shows."""
    return {
        f"figure11-{model}-{task}": pd.concat([means(pair).assign(pair=title) for title, pair in found])
        for model, task, found in _pairs(results.runs)
    }


def _pairs(data: pd.DataFrame) -> Iterator[tuple[str, str, list[tuple[str, pd.DataFrame]]]]:
    """Model, task, and the runs of each pair by its title."""
    runs = data[(data["outcome"] == "done") & (data["curve"].map(len) > 1)]
    for (model, task), here in runs.groupby(["model", "task"], sort=False):
        found = [(title, pair) for title, sizes in PAIRS if len(pair := _pair(here, sizes))]
        if found:
            yield model, task, found


def _pair(runs: pd.DataFrame, sizes: dict) -> pd.DataFrame:
    """One setting of each label, the batches as large as any two that match; no runs if none do."""
    at = [size(runs[runs["label"] == label]) for label, size in sizes.items()]
    both = set(at[0]) & set(at[1])
    return keep_best(pd.concat([runs.loc[size.index[size == max(both, default=None)]] for size in at]), CELL)


def _figure(found: list[tuple[str, pd.DataFrame]], model: str, page: Page) -> Figure:
    columns = page.columns(len(found))
    lines = len(found) // columns
    figure = page.figure(len(found), 3.9 * lines)
    grid = figure.subplots(2 * lines, columns, squeeze=False)
    for k, (title, pair) in enumerate(found):
        top, bottom = (grid[2 * (k // columns) + i, k % columns] for i in (0, 1))
        top.sharex(bottom)
        top.tick_params(labelbottom=False)
        points, labels = means(pair), pair["label"].unique()
        look = styles(labels)
        for axes, measure, scale in ((top, "score", 100), (bottom, "loss", 1)):
            for label in labels:
                curve(axes, points[points["label"] == label], "step", measure, scale, look[label])
        if spans(points.groupby("label")["step"].max()):
            symlog(bottom, points.loc[points["step"] > 0, "step"].min(), points["step"].max())
        top.legend(
            [Line2D([], [], color=look[label].color, marker=look[label].marker) for label in labels],
            [_entry(pair[pair["label"] == label].iloc[0]) for label in labels],
            loc="lower center",
            bbox_to_anchor=(0.5, 1),
            title=title,
        )
    task = found[0][1]["title"].iloc[0]
    figure.suptitle(f"{task}, {format_model(model)}, validation")
    figure.supxlabel("training step")
    for line in range(lines):
        grid[2 * line, 0].set_ylabel(f"{score_name(found[0][1], 'acc.')} (%)")
        grid[2 * line + 1, 0].set_ylabel("loss")
    figure.align_ylabels(grid[:, 0])
    return figure


def _entry(run: pd.Series) -> str:
    """A method and the batches that it takes."""
    batches = (("$K_0$", run["zo_batch_size"]), ("$K_1$", run["fo_batch_size"]))
    return f"{run['label']}: " + ", ".join(f"{name} = {size:g}" for name, size in batches if size > 0)
