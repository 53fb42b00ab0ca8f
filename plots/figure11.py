"""Convergence in pairs: Addax-WA and MeZO with equal batches; Addax and SGD with a batch 4x larger.

Lines are means over seeds at each evaluation, with a band of one standard deviation. The thin dashed line is
the majority score. Legends state the batch sizes. Source: arXiv 2410.06441, Figure 11, which uses K0 + K1 =
16 against MeZO's 16, and K1 = 4 against SGD's 16.
"""

from collections.abc import Iterator

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmarks.results import majority
from benchmarks.results.frame import Results
from benchmarks.results.select import CELL, keep_best
from plots._curves import curve, means, needs_log_axis, symlog
from plots._scores import axis_label, majority_key, majority_line
from plots._style import PAGE, Page, format_model, styles

SUITE = "figure11"
FEWER = 4  # the ratio of SGD's first-order examples per step to Addax's
# The title of each pair. For each label, the number that must be equal in both runs.
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
    """Return a figure for each model and task that has a pair, keyed by file stem."""
    return {
        f"figure11-{model}-{task}": _figure(pairs, model, page) for model, task, pairs in _pairs(results.runs)
    }


def numbers(results: Results) -> dict[str, pd.DataFrame]:
    """Return the numbers in each figure of `draw`, keyed by file stem."""
    return {
        f"figure11-{model}-{task}": pd.concat([means(pair).assign(pair=title) for title, pair in pairs])
        for model, task, pairs in _pairs(results.runs)
    }


def _pairs(data: pd.DataFrame) -> Iterator[tuple[str, str, list[tuple[str, pd.DataFrame]]]]:
    """Yield the model, the task, and the pairs (title, runs) of each figure."""
    runs = data[(data["outcome"] == "done") & (data["curve"].map(len) > 1)]
    for (model, task), subset in runs.groupby(["model", "task"], sort=False):
        pairs = [(title, pair) for title, sizes in PAIRS if len(pair := _pair(subset, sizes))]
        if pairs:
            yield model, task, pairs


def _pair(runs: pd.DataFrame, sizes: dict) -> pd.DataFrame:
    """Return the runs of one setting per label at the largest matching batches; empty if no sizes match."""
    sizes_of = [size(runs[runs["label"] == label]) for label, size in sizes.items()]
    common = set(sizes_of[0]) & set(sizes_of[1])
    return keep_best(
        pd.concat([runs.loc[size.index[size == max(common, default=None)]] for size in sizes_of]), CELL
    )


def _figure(pairs: list[tuple[str, pd.DataFrame]], model: str, page: Page) -> Figure:
    columns = page.columns(len(pairs))
    lines = len(pairs) // columns
    figure = page.figure(len(pairs), 3.9 * lines)
    grid = figure.subplots(2 * lines, columns, squeeze=False)
    for k, (title, pair) in enumerate(pairs):
        top, bottom = (grid[2 * (k // columns) + i, k % columns] for i in (0, 1))
        top.sharex(bottom)
        top.tick_params(labelbottom=False)
        points, labels = means(pair), pair["label"].unique()
        style_of = styles(labels)
        for axes, measure, scale in ((top, "score", 100), (bottom, "loss", 1)):
            for label in labels:
                curve(axes, points[points["label"] == label], "step", measure, scale, style_of[label])
        reference = majority.by_task(points, "validation_score")
        majority_line(top, next(iter(reference.values()), None))
        if needs_log_axis(points.groupby("label")["step"].max()):
            symlog(bottom, points.loc[points["step"] > 0, "step"].min(), points["step"].max())
        keys = [
            Line2D([], [], color=style_of[label].color, marker=style_of[label].marker) for label in labels
        ]
        entries = [_entry(pair[pair["label"] == label].iloc[0]) for label in labels]
        top.legend(
            [*keys, majority_key()] if reference else keys,
            [*entries, majority.LABEL] if reference else entries,
            loc="lower center",
            bbox_to_anchor=(0.5, 1),
            title=title,
        )
    task = pairs[0][1]["title"].iloc[0]
    figure.suptitle(f"{task}, {format_model(model)}, validation")
    figure.supxlabel("training step")
    for line in range(lines):
        grid[2 * line, 0].set_ylabel(axis_label(pairs[0][1], "acc.", most=20))
        grid[2 * line + 1, 0].set_ylabel("loss")
    figure.align_ylabels(grid[:, 0])
    return figure


def _entry(run: pd.Series) -> str:
    """Return the legend entry of a run: its method and batch sizes."""
    batches = (("$K_0$", run["zo_batch_size"]), ("$K_1$", run["fo_batch_size"]))
    return f"{run['label']}: " + ", ".join(f"{name} = {size:g}" for name, size in batches if size > 0)
