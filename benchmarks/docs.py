"""Tables that stand in a page, as the README, each made of committed rows alone."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from benchmarks.errors import UserError, unknown
from benchmarks.report import paper_tables as _paper_tables
from benchmarks.report import stats_tables as _statistics_tables
from benchmarks.report.analysis import framed
from benchmarks.report.tables import long_table, markdown, pipe, provenance
from benchmarks.results import comparable as _apart
from benchmarks.results import stats as statistics
from benchmarks.results.frame import ROOT, summary
from benchmarks.studies import _memory_tables, _speed_tables
from benchmarks.studies._precision_tables import arithmetic_table, dtype_table


def method_table(rows: Sequence[dict]) -> str:
    """Markdown, a line for each method (and model, task where they differ): score, AUC, loss, lr, cost."""
    return pipe(long_table(summary(framed(rows))))


def score_table(rows: Sequence[dict]) -> str:
    """Markdown, the score of every method on every task, a block for each model; and what is bold."""
    data = framed(rows)
    tests = statistics.pairs(data)
    text = markdown(summary(data), "score", statistics.winners(tests))
    return f"{text}\n\n{_statistics_tables.bold_note(tests)}".strip()


def splice(readme: Path, name: str, markdown: str) -> None:
    """Replaces what stands between `<!-- table:NAME -->` and `<!-- /table:NAME -->` in a page.

    Raises:
        UserError: the page has no such pair of marks.
    """
    page = readme.read_text(encoding="utf-8")
    known = re.findall(r"<!-- table:(\S+) -->", page)
    if name not in known:
        raise unknown(f"table mark in {readme.name}", name, known)
    opening, closing = f"<!-- table:{name} -->", f"<!-- /table:{name} -->"
    before, rest = page.split(opening, 1)
    if closing not in rest:
        raise UserError(f"{readme.name}: {opening} is never closed; add {closing} below it")
    after = rest.split(closing, 1)[1]
    readme.write_text(f"{before}{opening}\n{markdown.strip()}\n{closing}{after}", encoding="utf-8")


def refresh(readme: Path, root: Path = ROOT) -> None:
    """Rebuilds every table of a page from the committed rows alone.

    A table stands between `<!-- table:SUITE:KIND -->` and `<!-- /table:SUITE:KIND -->`, where KIND is one
    of `KINDS`; below it a line says where its numbers come from. Those of `OF_PAPERS` are made of no rows.
    Where no rows are committed yet, a line says which commands make them.

    Args:
        readme: the page, rewritten in place.
        root: the folder that holds `results/reference/<SUITE>.jsonl`.

    Raises:
        UserError: a mark of an unknown kind or one that is never closed, or a file that holds no rows.
    """
    for name in re.findall(r"<!-- table:(\S+) -->", readme.read_text(encoding="utf-8")):
        suite, _, kind = name.rpartition(":")
        make = STUDIES.get((suite, kind)) or KINDS.get(kind)
        if kind in OF_PAPERS:
            text = OF_PAPERS[kind]()
        elif make is None:
            raise unknown(f"kind of table {name!r} in {readme.name}", kind, (*KINDS, *OF_PAPERS))
        elif rows := _committed(suite, root):
            text = f"{make(rows)}\n\n{provenance(rows)}"
        elif (suite, kind) in STUDIES:
            text = f"No rows yet: `python -m benchmarks study {suite} --save` makes them."
        else:
            text = (
                f"No rows yet: `python -m benchmarks sweep {suite}`, then "
                f"`python -m benchmarks report {suite} --commit-reference` make them."
            )
        splice(readme, name, text)


# What a table in a page is made of: kind -> rows -> Markdown.
KINDS = {
    "score": score_table,
    "methods": method_table,
    "dtypes": dtype_table,
}
# The same of studies: (study, kind) -> rows -> Markdown.
STUDIES = {
    ("scoring-speed", "table"): _speed_tables.table,
    ("step-speed", "table"): _speed_tables.table,
    ("precision", "table"): arithmetic_table,
    ("memory-curves", "table22"): _memory_tables.table22,
    ("memory-curves", "largest-model"): _memory_tables.fits,
}
# The same of `results/published.csv` and of what suites state.
OF_PAPERS = {"coverage": _paper_tables.coverage, "suites": _paper_tables.papers}


def _committed(suite: str, root: Path) -> list[dict]:
    file = root / "results" / "reference" / f"{suite}.jsonl"
    if not file.exists():
        return []
    try:
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except ValueError as error:
        raise UserError(f"{file}: not JSON lines ({error}); commit its rows anew") from None
    return _apart.split(rows)[0] if all("config" in row for row in rows) else rows
