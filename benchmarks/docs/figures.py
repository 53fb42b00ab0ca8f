"""Figures of pages: the PNGs in docs/figures/ that README.md or a page of docs/ shows.

`docs/figures/OWNER/STEM.png` shows the committed rows of OWNER. A file records a hash of these rows, so that
a check
needs no drawing: matplotlib and its fonts draw other bytes on other machines.
"""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from benchmarks.errors import UserError
from benchmarks.results.frame import Results
from benchmarks.results.row import read
from plots import render
from plots._style import file_stem

# The entry of a PNG's metadata that holds the hash of its rows.
ROWS = "Rows"


def refresh(texts: Iterable[str], root: Path, check: bool) -> list[Path]:
    """Draw the figures that pages show and whose rows have changed; return them.

    Args:
        texts: the pages.
        root: folder that holds docs/figures/ and results/reference/.
        check: draw nothing.

    Raises:
        UserError: no committed rows fill a figure.
    """
    stale = [file for file in shown(texts, root) if not is_current(file, root)]
    if not check:
        for file in stale:
            _draw(file, root)
    return stale


def shown(texts: Iterable[str], root: Path) -> list[Path]:
    """Return the files in docs/figures/ that pages show."""
    names = {name for text in texts for name in re.findall(r"\((?:[./]*|docs/)figures/([\w./-]+\.png)", text)}
    return [root / "docs" / "figures" / name for name in sorted(names)]


def is_current(file: Path, root: Path) -> bool:
    """Whether a figure exists and shows the rows that are committed now."""
    if not file.exists():
        return False
    with Image.open(file) as image:
        return image.info.get(ROWS) == _hash(file.parent.name, root)


def _draw(file: Path, root: Path) -> None:
    owner = file.parent.name
    reference = _reference(owner, root)
    if not reference.exists():
        raise UserError(f"{file}: no committed rows in {reference}")
    figure = next((f for f in sorted(render.figures(), key=len, reverse=True) if _names(f, file.stem)), None)
    drawn = render.draw([figure], Results.of(read(reference))) if figure else {}
    named = {file_stem(stem): stem for stem in drawn.get(figure, {})}
    if file.stem not in named:
        raise UserError(
            f"{file}: no figure has this name; the rows of {owner} give {', '.join(named) or 'none'}"
        )
    canvas = drawn[figure][named[file.stem]]
    file.parent.mkdir(parents=True, exist_ok=True)
    render.save_png(canvas, file, {ROWS: _hash(owner, root)})


def _names(figure: str, stem: str) -> bool:
    return stem == figure or stem.startswith(f"{figure}-")


def _reference(owner: str, root: Path) -> Path:
    return root / "results" / "reference" / f"{owner}.jsonl"


def _hash(owner: str, root: Path) -> str | None:
    file = _reference(owner, root)
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16] if file.exists() else None
