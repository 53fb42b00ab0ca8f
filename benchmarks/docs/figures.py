"""Figures of pages: the PNGs in docs/figures/ that README.md and the pages of docs/ show.

`docs/figures/OWNER/STEM.png` shows the committed rows of OWNER. Each file records a hash of these rows. A
check compares hashes instead of images, because the bytes of an image depend on matplotlib, its fonts, and
the machine.
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

# The key of the hash in a PNG's metadata.
ROWS = "Rows"


def refresh(texts: Iterable[str], root: Path, check: bool) -> list[Path]:
    """Redraw the figures on pages whose rows have changed, and return their files.

    Args:
        texts: the pages.
        root: folder that contains docs/figures/ and results/reference/.
        check: whether to only return the outdated files, without drawing them.

    Raises:
        UserError: a figure has no committed rows, or its rows provide no figure of this name.
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
    """Return whether a figure exists and shows the rows that are currently committed."""
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
            f"{file}: no figure has this name; the rows of {owner} provide {', '.join(named) or 'none'}"
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
