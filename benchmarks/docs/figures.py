"""Figures of pages: the PNGs in docs/figures/ that README.md and the pages of docs/ show.

`docs/figures/OWNER/STEM.png` shows the committed rows of OWNER. Each file records a hash of these rows and
of the code in `plots` that draws them. A check compares hashes instead of images, because the bytes of an
image depend on matplotlib, its fonts, and the machine.
"""

import hashlib
import re
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from PIL import Image

from benchmarks import registry
from benchmarks.config.fingerprint import code_of, modules_of
from benchmarks.errors import UserError
from benchmarks.results.frame import Results
from benchmarks.results.sources import committed_rows
from plots import render
from plots._style import file_stem

# The key of the hash in a PNG's metadata.
ORIGIN = "Origin"


def refresh(texts: Iterable[str], root: Path, check: bool) -> list[Path]:
    """Redraw the figures on pages whose rows or drawing code have changed, and return their files.

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
    """Return whether a figure exists and the current code drew it from the rows that are committed now."""
    if not file.exists():
        return False
    with Image.open(file) as image:
        return image.info.get(ORIGIN) == _origin(file, root)


def owners(file: Path) -> list[str]:
    """Return the suites and studies whose rows a figure shows."""
    figure = _figure(file)
    costs = render.costs_of(figure) if figure else None
    return [file.parent.name, *([costs] if costs else [])]


def _draw(file: Path, root: Path) -> None:
    owner = file.parent.name
    rows = committed_rows(owner, root)
    if not rows:
        raise UserError(f"{file}: no committed rows in {_reference(owner, root)}")
    figure = _figure(file)
    rows_of = partial(committed_rows, root=root)
    drawn = render.draw([figure], Results.of(rows), rows_of=rows_of) if figure else {}
    named = {file_stem(stem): stem for stem in drawn.get(figure, {})}
    if file.stem not in named:
        raise UserError(
            f"{file}: no figure has this name; the rows of {owner} provide {', '.join(named) or 'none'}"
        )
    canvas = drawn[figure][named[file.stem]]
    file.parent.mkdir(parents=True, exist_ok=True)
    render.save_png(canvas, file, {ORIGIN: _origin(file, root)})


def _figure(file: Path) -> str | None:
    """Return the figure whose name is that of the file or its beginning; None if there is none."""
    names = [f for f in render.figures() if file.stem == f or file.stem.startswith(f"{f}-")]
    return max(names, key=len, default=None)


def _reference(owner: str, root: Path) -> Path:
    return root / "results" / "reference" / f"{owner}.jsonl"


def _origin(file: Path, root: Path) -> str:
    """Return a hash of the rows that a figure shows and of the code in `plots` that draws it."""
    digest = hashlib.sha256()
    for owner in owners(file):
        if (reference := _reference(owner, root)).exists():
            digest.update(reference.read_bytes())
    if figure := _figure(file):
        for module in modules_of(registry.path("figure", figure), registry.ROOT / "plots" / "render.py"):
            if module.parent.name == "plots":
                digest.update(code_of(module.read_bytes()).encode())
    return digest.hexdigest()[:16]
