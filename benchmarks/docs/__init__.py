"""Generated parts of README.md and docs/: tables, single numbers, and figures, built from committed rows.

A table is enclosed by `<!-- table:NAME:KIND -->` and `<!-- /table:NAME:KIND -->` (`benchmarks.docs.tables`).
A number in a sentence is the cell of a table. It is enclosed by `<!-- value:TABLE | ROW | COLUMN -->` and
`<!-- /value -->` (`benchmarks.docs.values`). A figure is a PNG in docs/figures/ that a page shows
(`benchmarks.docs.figures`).
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.docs import figures, marks
from benchmarks.docs.tables import Tables
from benchmarks.docs.values import lookup
from benchmarks.results.sources import ROOT

__all__ = ["pages", "rebuild", "refresh"]


def pages(root: Path = ROOT) -> list[Path]:
    """Return the pages that may contain generated parts."""
    return [root / "README.md", *sorted((root / "docs").rglob("*.md"))]


def refresh(
    root: Path = ROOT, check: bool = False, more: Mapping[str, Callable[[], str]] | None = None
) -> list[Path]:
    """Rebuild the generated parts of every page, and return the files that were out of date.

    Args:
        root: folder that contains the pages and `results/reference/`.
        check: whether to only check the pages, without writing them.
        more: additional tables by name, such as those of `benchmarks.cli.reference`.

    Raises:
        UserError: a mark has an unknown kind or is never closed, a value is not in its table, a file of rows
            is damaged, or the committed rows do not provide a figure.
    """
    tables = Tables(root, more)
    texts = {page: page.read_text(encoding="utf-8") for page in pages(root)}
    stale = []
    for page, before in texts.items():
        after = rebuild(before, page.name, tables)
        if after != before:
            stale.append(page)
            if not check:
                page.write_text(after, encoding="utf-8")
    return stale + figures.refresh(texts.values(), root, check)


def rebuild(text: str, page: str, tables: Tables) -> str:
    """Return the text of a page with every table and every value rebuilt.

    Args:
        text: the page.
        page: its name, for errors.
        tables: builds each table once for all pages.
    """
    names = marks.tables(text)
    for name in names:
        with_provenance = f"{name.rpartition(':')[0]}:provenance" not in names
        text = marks.splice(text, page, name, tables.build(name, page, with_provenance))
    return marks.fill_values(text, page, lambda key: lookup(key, page, tables))
