"""Accuracy or F1, peak memory, and time to converge of OPT-30B: bars by task and method (Addax, Figure 2).

The panels are the same as in `plots.figure1`, for OPT-30B only. Source: arXiv 2410.06441.
"""

import pandas as pd
from matplotlib.figure import Figure

from benchmarks.results.frame import Results
from benchmarks.results.order import display_order
from plots._style import PAGE, Page, styles
from plots.figure1 import by_model, figure_of, shown_columns

SUITE = "opt-30b"
MODEL = "facebook/opt-30b"


def draw(results: Results, page: Page = PAGE) -> dict[str, Figure]:
    """Return one figure, or an empty dictionary without rows of OPT-30B."""
    style_of = styles(display_order(results.runs, "label"))
    return {stem: figure_of(means, style_of, page) for stem, means in _means(results).items()}


def numbers(results: Results) -> dict[str, pd.DataFrame]:
    """Return the numbers in the figure of `draw`, keyed by file stem."""
    return {stem: shown_columns(means) for stem, means in _means(results).items()}


def _means(results: Results) -> dict[str, pd.DataFrame]:
    return by_model(results.means[results.means["model"] == MODEL], "figure2")
