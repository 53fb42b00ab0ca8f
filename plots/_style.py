"""Shared style of all figures: sizes, a color, marker, and hatch per method, and reproducible files."""

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
FONT_SIZE = 7.5  # points; the sizes below are for this font size
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
# Minimum width of one panel among several, in multiples of the font size.
PANEL = 20

RC = {
    # The width of text depends on the resolution, so text is measured at the resolution of the saved file.
    "figure.dpi": DPI,
    "font.family": "DejaVu Sans",  # This font ships with matplotlib, so glyphs are the same on every machine.
    "axes.titley": 1.0,  # There are no ticks or labels above the axes, so titles need no automatic placement.
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
    "svg.fonttype": "path",  # Embed glyphs as paths, because a reader's machine may lack the font.
    "svg.hashsalt": "addax",
}


@dataclass(frozen=True)
class Page:
    """The width and font size that a figure is drawn for.

    Attributes:
        width: inches; None means one printed column for a single panel and two columns for several.
        font_size: size of labels in points; titles are slightly larger, tick labels slightly smaller.

    Raises:
        UserError: if a size is not positive.
    """

    width: float | None = None
    font_size: float = FONT_SIZE

    def __post_init__(self) -> None:
        for name, value in (("width", self.width), ("font size", self.font_size)):
            if value is not None and not 0 < value < float("inf"):
                raise UserError(f"a figure's {name} must be greater than 0, not {value:g}")

    @property
    def scale(self) -> float:
        """Font size relative to that of the default page."""
        return self.font_size / FONT_SIZE

    def style(self) -> AbstractContextManager:
        """Return a context manager within which figures are drawn and saved."""
        return matplotlib.rc_context(RC | {name: self.scale * size for name, size in SIZES.items()})

    def columns(self, panels: int, most: int = 3) -> int:
        """Return how many panels fit side by side."""
        if self.width is None and self.scale == 1:
            return min(panels, most)
        fitting = int(72 * self._width_for(panels) / (PANEL * self.font_size))
        return max(1, min(panels, most, fitting))

    def _width_for(self, panels: int) -> float:
        return self.width or (ONE_COLUMN if panels == 1 else TWO_COLUMNS)

    def figure(self, panels: int, height: float) -> Figure:
        """Return an empty figure.

        Args:
            panels: number of panels side by side; any number above 1 gives the width of two columns.
            height: inches at the default font size.
        """
        return Figure(figsize=(self._width_for(panels), self.scale * height), layout="constrained")


PAGE = Page()


def small() -> float:
    """Return the font size inside panels, in points. Call it within `Page.style`."""
    return matplotlib.rcParams["xtick.labelsize"]


@dataclass(frozen=True)
class MethodStyle:
    """The color, marker, and hatch of one method in every figure."""

    color: str
    marker: str
    hatch: str = ""


# Okabe and Ito's palette, which readers with common color-vision deficiencies can distinguish. Yellow is
# omitted because it is too light for a line.
_KNOWN = {
    "zero-shot": MethodStyle("#555555", "_"),
    "ICL": MethodStyle("#999999", "|"),
    "Addax": MethodStyle("#D55E00", "o"),
    "Addax-WA": MethodStyle("#E69F00", "s", "//////"),
    "MeZO": MethodStyle("#0072B2", "^"),
    "MeZO-SVRG": MethodStyle("#56B4E9", "v", "\\\\\\\\\\\\"),
    "IP-SGD": MethodStyle("#009E73", "D"),
    "SGD": MethodStyle("#CC79A7", "P", "......"),
    "Adam": MethodStyle("#222222", "X"),
}
# Tol's muted palette, for methods that users add.
_SPARE = [
    MethodStyle(color, marker, hatch)
    for hatch in ("xxxxxx", "++++++")
    for color, marker in (("#882255", "<"), ("#999933", ">"), ("#332288", "p"), ("#AA4499", "h"))
]


# Variants of a method (other arithmetics and dtypes) have paler shades of its color and different hatches.
_VARIANT_HATCHES = ("//////", "xxxxxx", "......", "++++++")


def styles(labels: list[str]) -> dict[str, MethodStyle]:
    """Return the style of each label; methods that users add get the spare styles in alphabetical order."""
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
    """Return a color mixed with white; `white` is the share of white."""
    return to_hex([white + (1 - white) * part for part in to_rgb(color)])


def format_model(model: str) -> str:
    """Return a model's name for a figure: the last part if it is the path of a folder."""
    return Path(model).name if model.startswith(("/", ".", "~")) else model


def legend_above(figure: Figure, keys: list, labels: list[str], title: str, **options) -> None:
    """Draw a legend above all panels, with as many columns as fit the figure's width."""
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
    """Return a file name for a figure; characters that are unsafe in file names, such as `/`, become `_`."""
    return re.sub(r"[^\w.-]", "_", name)
