"""What a figure shows, for tests that look at it: its bars, and what no reader should see."""

import json
from itertools import combinations

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.container import BarContainer
from matplotlib.text import Text

from benchmarks.results.frame import Results
from plots import _style, render

SMALLEST = 7  # points
WIDTHS = (_style.ONE_COLUMN, _style.TWO_COLUMNS)


def drawn(name, rows, page=_style.PAGE, **options):
    """A figure of rows: file stem -> what is drawn."""
    return render.draw([name], Results.of(rows), page, **options).get(name, {})


def file_of(rows, folder, name="rows.jsonl"):
    """A file of rows, one a line."""
    path = folder / name
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    return path


def bars(axes):
    """(label, patch) of every bar."""
    return [
        (box.get_label(), patch) for box in axes.containers if isinstance(box, BarContainer) for patch in box
    ]


def faults(figure, page=_style.PAGE):
    """What the canvas cuts off, texts that touch or are too small, and empty panels, as readable notes."""
    with page.style():
        renderer = FigureCanvasAgg(figure).get_renderer()
        figure.draw_without_rendering()
        tight = figure.get_tightbbox(renderer)
        unseen = _unseen(figure)
        shown = (text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip())
        texts = [text for text in shown if text not in unseen]
        boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in texts]
    width, height = figure.get_size_inches()
    cut = -min(tight.x0, tight.y0, width - tight.x1, height - tight.y1)
    found = [f"cut off by {cut:.3f} inches"] if cut > 0.005 else []
    found += [f"{a!r} touches {b!r}" for (a, x), (b, y) in combinations(boxes, 2) if _overlap(x, y)]
    found += [f"{t.get_text()!r} is small" for t in texts if t.get_fontsize() < SMALLEST * page.scale - 0.01]
    found += [f"empty panel {axes.get_title()!r}" for axes in figure.axes if not axes.has_data()]
    widths = WIDTHS if page.width is None else (page.width,)
    return found + ([] if width in widths else [f"{width} inches wide"])


def _unseen(figure):
    """Labels of ticks outside of their axis's limits, which are artists, too, and never drawn."""
    outside = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
                if not low <= tick.get_loc() <= high:
                    outside |= {tick.label1, tick.label2}
    return outside


def _overlap(a, b):
    """By more than the white rim that a box of text has."""
    across, up = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
    rim = 1.5 * _style.DPI / 72
    return across > rim and up > rim
