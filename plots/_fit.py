"""Fit a figure's text into its width: break long titles, rotate crowded labels, drop ticks that touch.

Panels do not move. Text that already fits is left unchanged.
"""

import re
from itertools import pairwise
from textwrap import wrap

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator

# Minimum white space between two labels, in points.
GAP = 2
NUMBER = re.compile(r"[-+−]?[\d.,]+(e[-+]?\d+)?k?|\$.*\$")


def fit(figure: Figure) -> None:
    """Fit a figure's text into its width, and freeze the layout.

    A layout engine would arrange the figure again for every saved file, which takes longer than drawing it.
    """
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw_without_rendering()
    changed = False
    titles = _titles(figure, renderer)
    for text, available in titles:
        if _collides(text, [other for other, _ in titles if other is not text], figure, renderer):
            changed |= _break(text, available, renderer)
    for axes in figure.axes:
        changed |= _separate_tick_labels(axes, renderer)
    if changed:
        figure.draw_without_rendering()
    figure.set_layout_engine(None)


def _titles(figure: Figure, renderer) -> list[tuple[Text, float]]:
    """Return the texts that may be broken, with the width in pixels available to each."""
    titles = [(text, figure.bbox.width) for text in (figure._suptitle, figure._supxlabel) if text]
    titles += [(legend.get_title(), figure.bbox.width) for legend in figure.legends]
    for axes in figure.axes:
        spec = axes.get_subplotspec()
        columns = 1 if spec is None else spec.get_gridspec().ncols
        available = figure.bbox.width if columns == 1 else 1.05 * axes.get_window_extent(renderer).width
        titles += [(axes.title, available), (axes.xaxis.label, available)]
        if legend := axes.get_legend():
            titles.append((legend.get_title(), available))
    return titles


def _collides(text: Text, others: list[Text], figure: Figure, renderer) -> bool:
    """Return whether a text extends past the edge of its figure or overlaps another text."""
    box = text.get_window_extent(renderer)
    if box.x0 < 0 or box.x1 > figure.bbox.width:
        return True
    return any(box.overlaps(other.get_window_extent(renderer)) for other in others if other.get_text())


def _break(text: Text, available: float, renderer) -> bool:
    """Break the lines of a text at spaces into as few as fit, and return whether any was broken."""
    content = text.get_text()
    width = text.get_window_extent(renderer).width if content else 0
    if width <= available or " " not in content:
        return False
    for lines in range(2, 5):
        given = content.split("\n")
        width = -(-max(map(len, given)) // lines) + 4
        parts = [wrap(line, width, break_long_words=False, break_on_hyphens=False) for line in given]
        text.set_text("\n".join(line for part in parts for line in part))
        if text.get_window_extent(renderer).width <= available:
            break
    return True


def _separate_tick_labels(axes: Axes, renderer) -> bool:
    """Separate touching labels of the x axis, and return whether any touched.

    Names are rotated. Numbers are thinned out: every other one is dropped until they no longer touch.
    """
    touched = False
    while ticks := _touching(axes, renderer):
        touched = True
        if not all(NUMBER.fullmatch(text) for text in ticks.values()):
            axes.tick_params(axis="x", labelrotation=90)
            break
        axes.xaxis.set_major_locator(FixedLocator(list(ticks)[::2]))
        axes.figure.draw_without_rendering()
    return touched


def _touching(axes: Axes, renderer) -> dict[float, str]:
    """Return the ticks of the x axis with their labels if any two labels touch, otherwise an empty dict."""
    low, high = sorted(axes.xaxis.get_view_interval())
    ticks = [tick for tick in axes.xaxis.get_major_ticks() if low <= tick.get_loc() <= high]
    ticks = [tick for tick in ticks if tick.label1.get_visible() and tick.label1.get_text()]
    boxes = [tick.label1.get_window_extent(renderer) for tick in ticks]
    gap = GAP * axes.figure.dpi / 72
    if all(a.x1 + gap <= b.x0 for a, b in pairwise(boxes)):
        return {}
    return {tick.get_loc(): tick.label1.get_text() for tick in ticks}
