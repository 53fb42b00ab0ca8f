"""Stale tables and figures of pages: those with rows from older code that may give other numbers today."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tabulate import tabulate

from benchmarks import docs, registry
from benchmarks.config.fingerprint import source_fingerprint, study_fingerprint
from benchmarks.config.spec import from_dict
from benchmarks.docs import figures, marks
from benchmarks.docs.tables import Tables, owners
from benchmarks.errors import UserError
from benchmarks.results import reruns
from benchmarks.results.sources import ROOT


@dataclass(frozen=True)
class Entry:
    """A table or a figure on a page.

    Attributes:
        page: file relative to the repository.
        name: name of the table ("quick:score") or the figure ("figures/quick/figure1-nano-opt.png").
        stale: number of stale rows, see `is_stale`.
        rows: number of all its rows.
        commits: the commits of the stale rows.
    """

    page: str
    name: str
    stale: int
    rows: int
    commits: tuple[str, ...]


def entries(root: Path = ROOT) -> list[Entry]:
    """Return every table and figure in README.md and docs/ that shows committed rows, page by page."""
    tables, known = Tables(root), reruns.Known(reruns.read(root))
    found = []
    counts: dict[str, tuple[int, int, tuple[str, ...]]] = {}
    for page in docs.pages(root):
        text = page.read_text(encoding="utf-8")
        shown = [(name, owners(name)) for name in marks.tables(text)]
        shown += [
            (f"figures/{f.parent.name}/{f.name}", figures.owners(f)) for f in figures.shown([text], root)
        ]
        for name, sources in shown:
            for owner in sources:
                if owner not in counts:
                    counts[owner] = _count(tables.rows(owner), known)
            stale, rows = (sum(counts[owner][i] for owner in sources) for i in (0, 1))
            commits = tuple(dict.fromkeys(commit for owner in sources for commit in counts[owner][2]))
            if rows:
                found.append(Entry(page.relative_to(root).as_posix(), name, stale, rows, commits))
    return found


def listing(found: Iterable[Entry]) -> str:
    """Return a table of the stale entries and a line that counts them."""
    found = list(found)
    stale = [entry for entry in found if entry.stale]
    if not stale:
        return f"All rows of the {len(found)} tables and figures are current."
    lines = [
        {
            "page": entry.page,
            "table or figure": entry.name,
            "stale rows": f"{entry.stale} of {entry.rows}",
            "commits": ", ".join(entry.commits),
        }
        for entry in stale
    ]
    table = tabulate(lines, headers="keys", disable_numparse=True)
    return f"{table}\n\n{len(stale)} of {len(found)} tables and figures show stale rows."


def is_stale(row: Mapping, known: reruns.Known) -> bool:
    """Return whether today's code may give other numbers than a row's. Rows without a fingerprint are stale.

    Args:
        row: the row of a run or of a study.
        known: the reruns that agreed. They count for the rows of runs only.
    """
    recorded = row.get("source_fingerprint")
    if "config" not in row:
        study = row.get("study")
        return study not in registry.files("study") or recorded != study_fingerprint(study)
    try:
        today = source_fingerprint(from_dict(row["config"]))
    except UserError:
        # The method, task, model, or a setting of the row no longer exists.
        return True
    return recorded != today and (recorded is None or not known.agree(row, today))


def _count(rows: list[dict], known: reruns.Known) -> tuple[int, int, tuple[str, ...]]:
    stale = [row for row in rows if is_stale(row, known)]
    commits = dict.fromkeys(str(row.get("git_commit") or "unknown")[:7] for row in stale)
    return len(stale), len(rows), tuple(commits)
