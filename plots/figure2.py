"""Accuracy or F1, peak memory and time to converge of OPT-30B: bars by task and method (Addax, Figure 2).

Source: arXiv 2410.06441. As `plots.figure1`, of the rows of the one model that the paper's figure has.
"""

from collections.abc import Callable

import pandas as pd
from matplotlib.figure import Figure

from plots import figure1

SUITE = "opt-30b"
MODEL = "facebook/opt-30b"


def draw(data: pd.DataFrame) -> dict[str, Figure]:
    """One figure, where there are rows of the model. `data` is `benchmarks.results.frame.frame`'s."""
    return _renamed(figure1.draw, data)


def numbers(data: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """What the figure of `draw` shows."""
    return _renamed(figure1.numbers, data)


def _renamed(made: Callable[[pd.DataFrame], dict], data: pd.DataFrame) -> dict:
    found = made(data[data["model"] == MODEL]) if len(data) else {}
    return {stem.replace("figure1", "figure2"): one for stem, one in found.items()}
