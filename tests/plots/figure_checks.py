"""Helpers of the figure tests: draw a figure, list its bars, and find defects in its layout."""

import json
from itertools import combinations

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.container import BarContainer
from matplotlib.text import Text

from benchmarks.results.frame import Results
from plots import _style, render

MIN_FONT_SIZE = 7  # points
WIDTHS = (_style.ONE_COLUMN, _style.TWO_COLUMNS)


def drawn(name, rows, page=_style.PAGE, **options):
    """Draw a figure from rows, and return file stem -> matplotlib figure."""
    return render.draw([name], Results.of(rows), page, **options).get(name, {})


def file_of(rows, folder, name="rows.jsonl"):
    """Write rows to a file, one per line, and return its path."""
    path = folder / name
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    return path


def bars(axes):
    """Return the label and the patch of every bar."""
    return [
        (box.get_label(), patch) for box in axes.containers if isinstance(box, BarContainer) for patch in box
    ]


def defects_of(figure, page=_style.PAGE):
    """Return a message per defect: cut-off artists, texts that overlap or are too small, empty panels."""
    with page.style():
        renderer = FigureCanvasAgg(figure).get_renderer()
        figure.draw_without_rendering()
        tight = figure.get_tightbbox(renderer)
        hidden = _hidden_tick_labels(figure)
        visible = (text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip())
        texts = [text for text in visible if text not in hidden]
        boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in texts]
    width, height = figure.get_size_inches()
    cut = -min(tight.x0, tight.y0, width - tight.x1, height - tight.y1)
    defects = [f"cut off by {cut:.3f} inches"] if cut > 0.005 else []
    defects += [f"{a!r} touches {b!r}" for (a, x), (b, y) in combinations(boxes, 2) if _overlap(x, y)]
    defects += [
        f"{t.get_text()!r} is small" for t in texts if t.get_fontsize() < MIN_FONT_SIZE * page.scale - 0.01
    ]
    defects += [f"empty panel {axes.get_title()!r}" for axes in figure.axes if not axes.has_data()]
    widths = WIDTHS if page.width is None else (page.width,)
    return defects + ([] if width in widths else [f"{width} inches wide"])


def _hidden_tick_labels(figure):
    """Return the labels of ticks outside their axis's limits; matplotlib keeps but never draws them."""
    outside = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
                if not low <= tick.get_loc() <= high:
                    outside |= {tick.label1, tick.label2}
    return outside


def _overlap(a, b):
    """Return whether two boxes overlap by more than the white margin within a box of text."""
    width, height = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
    margin = 1.5 * _style.DPI / 72
    return width > margin and height > margin
