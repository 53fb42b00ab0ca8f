"""One look for every figure: sizes, a colour, marker and hatch for each method, stable files."""

import re
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

from benchmarks.errors import UserError
from benchmarks.results.order import METHODS, method_of

ONE_COLUMN, TWO_COLUMNS = 3.3, 6.9  # inches
DPI = 300
FONT_SIZE = 7.5  # points, at which the sizes below are right
SIZES = {
    "font.size": 7.5,
    "axes.titlesize": 8,
    "axes.labelsize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7.5,
    "legend.title_fontsize": 8,
    "figure.titlesize": 8,
    "figure.labelsize": 7.5,
}
# What one panel of several needs in width, in multiples of the font size.
PANEL = 20

RC = {
    # Text is wider or narrower at other resolutions: what fits when measured must fit when saved.
    "figure.dpi": DPI,
    "font.family": "DejaVu Sans",  # ships with matplotlib: the same glyphs on every machine
    "axes.titley": 1.0,  # nothing is above the axes that a title would have to make room for
    "axes.titleweight": "normal",
    "figure.titleweight": "normal",
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
    "svg.fonttype": "path",  # a reader's machine may lack the font
    "svg.hashsalt": "addax",
}


@dataclass(frozen=True)
class Page:
    """The place that a figure is drawn for.

    Attributes:
        width: inches; None takes a printed column for a single panel, and two columns for more.
        font_size: points of labels; titles are a little larger, numbers at ticks a little smaller.

    Raises:
        UserError: a size that is not positive.
    """

    width: float | None = None
    font_size: float = FONT_SIZE

    def __post_init__(self) -> None:
        for name, value in (("width", self.width), ("font size", self.font_size)):
            if value is not None and not 0 < value < float("inf"):
                raise UserError(f"a figure's {name} must be greater than 0, not {value:g}")

    @property
    def scale(self) -> float:
        """Size of text beside that of the default page."""
        return self.font_size / FONT_SIZE

    def style(self) -> AbstractContextManager:
        """Return a context in which figures are drawn and saved."""
        return matplotlib.rc_context(RC | {name: self.scale * size for name, size in SIZES.items()})

    def columns(self, panels: int, most: int = 3) -> int:
        """Return how many panels go side by side."""
        if self.width is None and self.scale == 1:
            return min(panels, most)
        fitting = int(72 * self._width_for(panels) / (PANEL * self.font_size))
        return max(1, min(panels, most, fitting))

    def _width_for(self, panels: int) -> float:
        return self.width or (ONE_COLUMN if panels == 1 else TWO_COLUMNS)

    def figure(self, panels: int, height: float) -> Figure:
        """Return an empty figure.

        Args:
            panels: how many panels are side by side, or how many columns a single wide one stands for.
            height: inches at the default size of text.
        """
        return Figure(figsize=(self._width_for(panels), self.scale * height), layout="constrained")


PAGE = Page()


def small() -> float:
    """Return the size of text inside panels, in points; within a page's style."""
    return matplotlib.rcParams["xtick.labelsize"]


@dataclass(frozen=True)
class MethodStyle:
    """How one method is drawn, in every figure."""

    color: str
    marker: str
    hatch: str = ""


# Okabe and Ito's palette, distinct under the common color-vision deficiencies; yellow is left out (too
# light for a line).
_KNOWN = {
    "zero-shot": MethodStyle("#555555", "_"),
    "Addax": MethodStyle("#D55E00", "o"),
    "Addax-WA": MethodStyle("#E69F00", "s", "//////"),
    "MeZO": MethodStyle("#0072B2", "^"),
    "MeZO-SVRG": MethodStyle("#56B4E9", "v", "\\\\\\\\\\\\"),
    "IP-SGD": MethodStyle("#009E73", "D"),
    "SGD": MethodStyle("#CC79A7", "P", "......"),
    "Adam": MethodStyle("#222222", "X"),
}
# Tol's muted palette, for methods of the reader's own.
_SPARE = [
    MethodStyle(color, marker, hatch)
    for hatch in ("xxxxxx", "++++++")
    for color, marker in (("#882255", "<"), ("#999933", ">"), ("#332288", "p"), ("#AA4499", "h"))
]


# A method's other arithmetics and dtypes share its color, paler, and a hatch of their own.
_VARIANT_HATCHES = ("//////", "xxxxxx", "......", "++++++")


def styles(labels: list[str]) -> dict[str, MethodStyle]:
    """Return the style of each method; those unknown here take the spare ones in alphabetical order."""
    others = sorted({label for label in labels if method_of(label) not in METHODS})
    known = _KNOWN | {label: _SPARE[i % len(_SPARE)] for i, label in enumerate(others)}
    for method in METHODS:
        variants = sorted({label for label in labels if method_of(label) == method and label != method})
        for i, label in enumerate(variants):
            pale = _mixed(known[method].color, 0.65 * (i + 1) / len(variants))
            hatch = _VARIANT_HATCHES[i % len(_VARIANT_HATCHES)]
            known[label] = MethodStyle(pale, known[method].marker, hatch)
    return {label: known[label] for label in labels}


def _mixed(color: str, white: float) -> str:
    """Return a color with a share of white in it."""
    return to_hex([white + (1 - white) * part for part in to_rgb(color)])


def format_model(model: str) -> str:
    """Return a model's name as figures print it: of a folder its last part."""
    return Path(model).name if model.startswith(("/", ".", "~")) else model


def legend_above(figure: Figure, keys: list, labels: list[str], title: str, **options) -> None:
    """Draw a legend above all panels, in as many columns as the figure is wide enough for."""
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
            **options,
        )
        if columns == 1 or legend.get_window_extent(renderer).width <= figure.bbox.width:
            return
        legend.remove()


def file_stem(name: str) -> str:
    """Return a figure's name as that of a file: a model may be named by its path."""
    return re.sub(r"[^\w.-]", "_", name)
