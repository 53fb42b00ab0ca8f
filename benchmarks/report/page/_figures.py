"""Figures of the page: each as SVG inside it, with the numbers that it shows as CSV."""

import importlib
import io
import re
from collections.abc import Iterator

import matplotlib
import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure

from benchmarks.report.page._cells import csv_link
from plots import _style
from plots.__main__ import figures, maker, module_of

# What matplotlib tells of itself and of the day is no part of a figure.
_UNTOLD = dict.fromkeys(("Creator", "Date", "Format", "Type"))


def shown(drawn: dict[str, dict[str, Figure]], data: pd.DataFrame) -> Iterator[dict]:
    """Each figure as the page shows it: name, what it is, `svg`, `csv` (a link's address), `file`.

    Args:
        drawn: `plots.__main__.draw`'s of the data.
        data: `benchmarks.results.frame.frame`'s.
    """
    count = 0
    for name, canvases in drawn.items():
        module = module_of(name)
        known = module.numbers(data) if hasattr(module, "numbers") else {}
        for stem, canvas in canvases.items():
            count += 1
            table = known.get(stem, data.drop(columns=["curve", "run"]))
            yield {
                "stem": stem,
                "about": summary(name),
                "svg": svg(canvas, f"f{count}-"),
                "csv": csv_link(table),
                "file": f"{_style.file_stem(stem)}.csv",
            }


def undrawn(drawn: dict[str, dict[str, Figure]]) -> list[dict]:
    """The figures that these rows do not fill: name, what it shows, and the command that makes its rows."""
    others = [name for name in figures() if name not in drawn and module_of(name).SUITE is not None]
    return [
        {"name": name, "about": summary(name), "command": f"python -m {maker(module_of(name))}"}
        for name in others
    ]


def summary(name: str) -> str:
    """The first line of a figure's file."""
    return (importlib.import_module(f"plots.{name}").__doc__ or name).split("\n", 1)[0]


def svg(figure: Figure, prefix: str) -> Markup:
    """A figure as an SVG element.

    Args:
        figure: as it is saved in other formats.
        prefix: of every id in it, so that no two figures of a page share one.
    """
    buffer = io.StringIO()
    # Letters are drawn as outlines: a reader's machine may lack the font, and another would not fit.
    with _style.style(), matplotlib.rc_context({"svg.fonttype": "path", "svg.hashsalt": prefix}):
        figure.savefig(buffer, format="svg", metadata=_UNTOLD)
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", text[text.index("<svg") :], flags=re.S)
    text = re.sub(r'\bid="', f'id="{prefix}', text)
    text = re.sub(r'(href="#|url\(#)', rf"\g<1>{prefix}", text)
    width = re.search(r'<svg[^>]*? width="([\d.]+)pt"', text).group(1)
    head = re.sub(r' (width|height)="[\d.]+pt"', "", text[: text.index(">")])
    # It is matplotlib's own; comments, in which it repeats texts of the figure, are gone.
    return Markup(f'{head} style="--width:{width}pt"{text[text.index(">") :]}')
