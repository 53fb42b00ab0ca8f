"""Generated tables of pages: README.md and docs/*.md, each table made of committed rows alone.

A table lies between `<!-- table:NAME:KIND -->` and `<!-- /table:NAME:KIND -->`. NAME is a suite with a KIND
of `SUITE_TABLES`, or a study with a KIND of its tables (`benchmarks.studies.page_tables`). `papers:suites`
and `published:coverage` need no rows. The kind "provenance" says where the rows of NAME come from; without
such a mark on the page, every table ends with that line.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import registry, studies
from benchmarks.errors import UserError, unknown
from benchmarks.report import paper_tables, stats_tables
from benchmarks.report.provenance import provenance_line
from benchmarks.report.tables import long_table, markdown, pipe
from benchmarks.results import stats
from benchmarks.results.comparable import partition_comparable
from benchmarks.results.frame import Results
from benchmarks.results.row import read
from benchmarks.results.sources import ROOT
from benchmarks.studies._precision_tables import dtype_table

PROVENANCE = "provenance"


def method_table(rows: Sequence[dict]) -> str:
    """Markdown, a line per method (and model, task where they differ): score, AUC, loss, lr, cost."""
    return pipe(long_table(Results.of(rows).means))


def score_table(rows: Sequence[dict]) -> str:
    """Markdown, the score of every method on every task, a block per model, and what bold means."""
    results = Results.of(rows)
    tests = stats.pairs(results.selected)
    text = markdown(results.means, "score", stats.winners(tests))
    return f"{text}\n\n{stats_tables.bold_note(tests)}".strip()


# Tables of a suite's rows: kind -> rows -> Markdown.
SUITE_TABLES = {"score": score_table, "methods": method_table, "dtypes": dtype_table}
# Tables of `results/published.csv` and of what suites state, by full name.
PAPER_TABLES = {"published:coverage": paper_tables.coverage, "papers:suites": paper_tables.papers}


def pages(root: Path = ROOT) -> list[Path]:
    """The pages that may hold tables."""
    return [root / "README.md", *sorted((root / "docs").rglob("*.md"))]


def refresh(root: Path = ROOT, check: bool = False) -> list[Path]:
    """Rebuild the tables of every page from the committed rows, and return the pages that were out of date.

    Args:
        root: folder that holds the pages and `results/reference/`.
        check: write nothing.

    Raises:
        UserError: a mark of an unknown kind, a mark that is never closed, or a file that holds no rows.
    """
    made: dict[str, str] = {}
    stale = []
    for page in pages(root):
        before = page.read_text(encoding="utf-8")
        after = rebuilt(before, page.name, root, made)
        if after != before:
            stale.append(page)
            if not check:
                page.write_text(after, encoding="utf-8")
    return stale


def rebuilt(text: str, page: str, root: Path, made: dict[str, str] | None = None) -> str:
    """Return a page's text with every table rebuilt.

    Args:
        text: the page.
        page: its name, for errors.
        root: folder that holds `results/reference/`.
        made: tables by name, filled here, so that several pages share them.
    """
    made = {} if made is None else made
    names = re.findall(r"<!-- table:(\S+) -->", text)
    for name in names:
        shared = f"{name.rpartition(':')[0]}:{PROVENANCE}" in names
        key = f"{name} {shared}"
        if key not in made:
            made[key] = _table(name, page, root, shared)
        text = _splice(text, page, name, made[key])
    return text


def _table(name: str, page: str, root: Path, shared: bool) -> str:
    """One table and, unless the page says it elsewhere, where its numbers come from."""
    if name in PAPER_TABLES:
        return PAPER_TABLES[name]()
    owner, _, kind = name.rpartition(":")
    study = owner in registry.files("study")
    tables = studies.page_tables(owner) if study else SUITE_TABLES
    known: dict[str, Callable] = {**tables, PROVENANCE: provenance_line}
    if kind not in known:
        raise unknown(f"kind of table {name!r} in {page}", kind, (*known, *PAPER_TABLES))
    rows = _committed(owner, root)
    if not rows:
        command = f"python -m benchmarks {'study' if study else 'sweep'} {owner}"
        commit = f"`{command} --save` makes them."
        if not study:
            commit = f"`{command}`, then `python -m benchmarks report {owner} --commit-reference` make them."
        return f"No rows yet: {commit}"
    text = known[kind](rows)
    return text if shared or kind == PROVENANCE else f"{text}\n\n{provenance_line(rows)}"


def _splice(text: str, page: str, name: str, table: str) -> str:
    opening, closing = f"<!-- table:{name} -->", f"<!-- /table:{name} -->"
    before, rest = text.split(opening, 1)
    if closing not in rest:
        raise UserError(f"{page}: {opening} is never closed; add {closing} below it")
    return f"{before}{opening}\n{table.strip()}\n{closing}{rest.split(closing, 1)[1]}"


def _committed(suite: str, root: Path) -> list[dict]:
    file = root / "results" / "reference" / f"{suite}.jsonl"
    if not file.exists():
        return []
    rows = read(file)
    return partition_comparable(rows)[0] if all("config" in row for row in rows) else rows
