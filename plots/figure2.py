"""Accuracy or F1, peak memory and time to converge of OPT-30B: bars by task and method (Addax, Figure 2).

Source: arXiv 2410.06441. The panels are those of `plots.figure1`, for the one model of the paper's figure.
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
    """Return one figure, where there are rows of the model."""
    look = styles(display_order(results.runs, "label"))
    return {stem: figure_of(means, look, page) for stem, means in _of_the_model(results).items()}


def numbers(results: Results) -> dict[str, pd.DataFrame]:
    """Return what the figure of `draw` shows."""
    return {stem: shown_columns(means) for stem, means in _of_the_model(results).items()}


def _of_the_model(results: Results) -> dict[str, pd.DataFrame]:
    return by_model(results.means[results.means["model"] == MODEL], "figure2")
