"""One look for every figure: sizes, a colour, marker and hatch for each method, stable files."""

import re
from dataclasses import dataclass
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from plots._rows import METHODS

ONE_COLUMN, TWO_COLUMNS = 3.3, 6.9  # inches
DPI = 300

RC = {
    "font.family": "DejaVu Sans",  # ships with matplotlib: the same glyphs on every machine
    "font.size": 7.5,
    "axes.titlesize": 8,
    "axes.labelsize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": "#dddddd",
    "grid.linewidth": 0.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
    "hatch.linewidth": 0.5,
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    "svg.hashsalt": "addax",
}


@dataclass(frozen=True)
class Look:
    """How one method is drawn, in every figure."""

    color: str
    marker: str
    hatch: str = ""


# Okabe and Ito's palette, distinct under the common colour-vision deficiencies; yellow is left out (too
# light for a line).
_KNOWN = {
    "zero-shot": Look("#555555", "_"),
    "Addax": Look("#D55E00", "o"),
    "Addax-WA": Look("#E69F00", "s", "//////"),
    "MeZO": Look("#0072B2", "^"),
    "MeZO-SVRG": Look("#56B4E9", "v", "\\\\\\\\\\\\"),
    "IP-SGD": Look("#009E73", "D"),
    "SGD": Look("#CC79A7", "P", "......"),
    "Adam": Look("#222222", "X"),
}
# Tol's muted palette, for methods of the reader's own.
_SPARE = [
    Look(color, marker, hatch)
    for hatch in ("xxxxxx", "++++++")
    for color, marker in (("#882255", "<"), ("#999933", ">"), ("#332288", "p"), ("#AA4499", "h"))
]


def looks(labels: list[str]) -> dict[str, Look]:
    """A look for each method; those unknown here take the spare ones in alphabetical order."""
    others = sorted(set(labels) - set(METHODS))
    spare = {label: _SPARE[i % len(_SPARE)] for i, label in enumerate(others)}
    return {label: _KNOWN.get(label) or spare[label] for label in labels}


def width_for(panels: int) -> float:
    """Inches: one printed column for a single task, two for more."""
    return ONE_COLUMN if panels == 1 else TWO_COLUMNS


def legend_columns(figure: Figure, entries: int) -> int:
    """How many entries of a legend go side by side above a figure without leaving it."""
    return min(entries, 8 if figure.get_figwidth() > ONE_COLUMN else 3)


def style():
    """Context in which figures are drawn and saved."""
    return matplotlib.rc_context(RC)


def save(figure: Figure, folder: Path, stem: str) -> list[Path]:
    """Writes `<stem>.png` and `<stem>.pdf`; the same rows give the same bytes."""
    # A model may be named by its path.
    stem = re.sub(r"[^\w.-]+", "-", stem)
    folder.mkdir(parents=True, exist_ok=True)
    undated = {"png": {"Software": None}, "pdf": {"CreationDate": None, "Creator": None, "Producer": None}}
    files = []
    with style():
        for kind, metadata in undated.items():
            files.append(folder / f"{stem}.{kind}")
            figure.savefig(files[-1], dpi=DPI, metadata=metadata)
    return files
