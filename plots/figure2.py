"""Accuracy or F1, peak memory, and time to converge of OPT-30B: bars by task and method (Addax, Figure 2).

The panels are the same as in `plots.figure1`, for OPT-30B only. Source: arXiv 2410.06441.
"""

import pandas as pd
from matplotlib.figure import Figure

from benchmarks.results.frame import Results
from plots._style import PAGE, Page
from plots.figure1 import figures_of, numbers_of

SUITE = "opt-30b"
MODEL = "facebook/opt-30b"


def draw(results: Results, page: Page = PAGE) -> dict[str, Figure]:
    """Return the figures, keyed by file stem; an empty dictionary without rows of OPT-30B."""
    return figures_of(results, _means(results), "figure2", page)


def numbers(results: Results) -> dict[str, pd.DataFrame]:
    """Return the numbers in each figure of `draw`, keyed by file stem."""
    return numbers_of(_means(results), "figure2")


def _means(results: Results) -> pd.DataFrame:
    return results.means[results.means["model"] == MODEL]
