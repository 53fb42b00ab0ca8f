"""Score against peak memory of SmolLM2: a marker per method, whose area is the time of a run (suite `real`).

Scores are means of full runs, and bars are standard deviations over seeds. Memory and time come from a few
steps of each method, measured side by side (suite `real-costs`). A task without measured steps has no panel,
unless that holds for all tasks: then memory and time are those of the runs. IP-SGD with gradient
checkpointing computes the same steps as IP-SGD, so it has the same scores.
"""

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.figure import Figure

from benchmarks.config.names import is_trained
from benchmarks.results.frame import Results
from benchmarks.results.run_costs import with_costs
from benchmarks.results.select import CELL
from plots import tradeoff
from plots._style import PAGE, Page

SUITE, COSTS = "real", "real-costs"


def draw(results: Results, page: Page = PAGE, costs: Sequence[Mapping] = ()) -> dict[str, Figure]:
    """Return a figure per model with a panel per task, keyed by file stem.

    Args:
        results: the runs.
        page: size of the figure.
        costs: the rows of the measured steps.
    """
    return tradeoff.of_points(_points(results, costs), page, "real")


def numbers(results: Results, costs: Sequence[Mapping] = ()) -> dict[str, pd.DataFrame]:
    """Return the numbers in each figure of `draw`, keyed by file stem."""
    points = _points(results, costs)
    return {f"real-{model}": points[points["model"] == model] for model in points["model"].unique()}


def _points(results: Results, costs: Sequence[Mapping]) -> pd.DataFrame:
    points = tradeoff.points_of(results)
    steps = results.means[[*CELL, "steps"]]
    measured = with_costs(points.merge(steps, on=CELL), costs)
    known = measured.groupby(["model", "task"])["peak_bytes"].transform("count") > 0
    # An untrained model has no peak, and a trained one that was not measured has no place in the figure.
    placed = measured["peak_bytes"].notna() | ~measured["label"].map(is_trained).astype(bool)
    return measured[known & placed] if known.any() else points
