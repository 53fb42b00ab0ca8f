"""One look for every figure: sizes, a colour, marker and hatch for each method, stable files."""

import re
from dataclasses import dataclass
from pathlib import Path

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

from benchmarks.results.frame import METHODS, method_of

ONE_COLUMN, TWO_COLUMNS = 3.3, 6.9  # inches
DPI = 300

RC = {
    # Text is wider or narrower at other resolutions: what fits when measured must fit when saved.
    "figure.dpi": DPI,
    "font.family": "DejaVu Sans",  # ships with matplotlib: the same glyphs on every machine
    "font.size": 7.5,
    "axes.titlesize": 8,
    "axes.titley": 1.0,  # nothing is above the axes that a title would have to make room for
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


# A method's other arithmetics and dtypes have its colour, paler, and a hatch of their own.
_VARIANT_HATCHES = ("//////", "xxxxxx", "......", "++++++")


def looks(labels: list[str]) -> dict[str, Look]:
    """A look for each method; those unknown here take the spare ones in alphabetical order."""
    others = sorted({label for label in labels if method_of(label) not in METHODS})
    known = _KNOWN | {label: _SPARE[i % len(_SPARE)] for i, label in enumerate(others)}
    for method in METHODS:
        variants = sorted({label for label in labels if method_of(label) == method and label != method})
        for i, label in enumerate(variants):
            pale = _mixed(known[method].color, 0.65 * (i + 1) / len(variants))
            hatch = _VARIANT_HATCHES[i % len(_VARIANT_HATCHES)]
            known[label] = Look(pale, known[method].marker, hatch)
    return {label: known[label] for label in labels}


def _mixed(color: str, white: float) -> str:
    """A colour with a share of white in it."""
    return to_hex([white + (1 - white) * part for part in to_rgb(color)])


def shown(model: str) -> str:
    """A model's name as figures print it: of a folder its last part."""
    return Path(model).name if model.startswith(("/", ".", "~")) else model


def width_for(panels: int) -> float:
    """Inches: one printed column for a single task, two for more."""
    return ONE_COLUMN if panels == 1 else TWO_COLUMNS


def legend_above(figure: Figure, keys: list, labels: list[str], title: str, **look) -> None:
    """A legend above all panels, in as many columns as the figure is wide enough for."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    for columns in range(min(len(keys), 8 if figure.get_figwidth() > ONE_COLUMN else 3), 0, -1):
        legend = figure.legend(
            keys,
            labels,
            loc="outside upper center",
            ncols=columns,
            columnspacing=1.2,
            handletextpad=0.5,
            title=title,
            title_fontsize=8,
            **look,
        )
        if columns == 1 or legend.get_window_extent(renderer).width <= figure.bbox.width:
            return
        legend.remove()


def style():
    """Context in which figures are drawn and saved."""
    return matplotlib.rc_context(RC)


def file_stem(name: str) -> str:
    """A figure's name as one of a file: a model may be named by its path."""
    return re.sub(r"[^\w.-]", "_", name)


def save(figure: Figure, folder: Path, stem: str) -> list[Path]:
    """Writes `<stem>.png` and `<stem>.pdf`; the same rows give the same bytes."""
    stem = file_stem(stem)
    folder.mkdir(parents=True, exist_ok=True)
    undated = {"png": {"Software": None}, "pdf": {"CreationDate": None, "Creator": None, "Producer": None}}
    files = []
    with style():
        # Arranged once, it stays so: to arrange a figure takes longer than to draw it again. Of a figure with
        # any engine, "none" too, matplotlib draws each file twice.
        if (engine := figure.get_layout_engine()) is not None:
            engine.execute(figure)
        figure.set_layout_engine(None)
        for kind, metadata in undated.items():
            files.append(folder / f"{stem}.{kind}")
            figure.savefig(files[-1], dpi=DPI, metadata=metadata)
    return files
