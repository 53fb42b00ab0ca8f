"""Tables of pages, by name: tables of suites, studies, papers, and methods.

NAME:KIND consists of a suite and a key of `SUITE_TABLES`, or of a study and the name of one of its tables
(`benchmarks.studies.page_tables`). It can also be a key of `PAPER_TABLES` or a table of methods
(`benchmarks.docs.methods`). The kind "provenance" is a line on the source of NAME's rows. If a page has no
such mark, every table of NAME ends with that line.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from benchmarks import registry, studies
from benchmarks.docs import methods, real
from benchmarks.docs.remedy import no_rows
from benchmarks.errors import unknown
from benchmarks.report import arithmetics, by_length, long_matters, paper_tables, stats_tables
from benchmarks.report.provenance import provenance_line
from benchmarks.report.tables import long_table, markdown, pipe
from benchmarks.results import paired
from benchmarks.results.comparable import partition_comparable
from benchmarks.results.frame import Results
from benchmarks.results.sources import committed_rows

PROVENANCE = "provenance"
# Tables of options, which `benchmarks.cli.reference` builds.
COMMAND_LINE = "cli"


def method_table(rows: Sequence[dict]) -> str:
    """Return Markdown with one line per method: score, AUC, loss, learning rate, and cost."""
    return pipe(long_table(Results.of(rows).means))


def score_table(rows: Sequence[dict]) -> str:
    """Return Markdown with all scores, one block per model, and a note on bold entries."""
    results = Results.of(rows)
    tests = paired.pairs(results.selected)
    text = markdown(results.means, "score", paired.winners(tests))
    return f"{text}\n\n{stats_tables.bold_note(tests, results.means)}".strip()


def pairs_table(rows: Sequence[dict]) -> str:
    """Return Markdown with the paired tests between methods, and a note on them.

    Methods with too few pairs for a test are left out, unless that holds for all methods.
    """
    pairs = paired.pairs(Results.of(rows).selected)
    tested = pairs[pairs["p"].notna()]
    found = stats_tables.pairs_table(pairs if tested.empty else tested)
    return f"{pipe(found.table)}\n\n{found.note}"


def length_table(rows: Sequence[dict], kind: str) -> str:
    """Return Markdown with the scores on long or on short test rows, and a note on the lengths.

    Args:
        rows: the rows.
        kind: "score-long" or "score-short".
    """
    means = Results.of(rows).means
    column = by_length.measures(means).get(kind)
    if column is None:
        return f"No rows with the {kind.replace('-', ' on ')} test rows yet: the runs need `long_above`."
    means = by_length.shown(means, kind)
    return f"{markdown(means, column)}\n\n{by_length.note(means)}"


# Tables of a suite's rows: kind -> rows -> Markdown.
SUITE_TABLES = {
    "score": score_table,
    **{kind: partial(length_table, kind=kind) for kind in by_length.TABLES},
    "pairs": pairs_table,
    "methods": method_table,
}
# Tables of single suites, in the same form.
OWN_TABLES: dict[str, dict[str, Callable]] = {
    "rounding": arithmetics.TABLES,
    "long-matters": long_matters.TABLES,
    "long-matters-grid": {"rates": long_matters.trials},
}
# Tables of published numbers and of the papers' suites, by full name.
PAPER_TABLES = {"published:coverage": paper_tables.coverage, "papers:suites": paper_tables.papers}


class Tables:
    """Builder of the tables of pages, which builds each table once.

    Args:
        root: folder that contains `results/reference/`.
        more: tables that show no rows, by name; each function returns Markdown.
    """

    def __init__(self, root: Path, more: Mapping[str, Callable[[], str]] | None = None) -> None:
        self.root = root
        self._rowless = {**PAPER_TABLES, **(more or {})}
        self._built: dict[tuple[str, bool], str] = {}
        self._rows: dict[str, list[dict]] = {}

    def build(self, name: str, page: str, with_provenance: bool) -> str:
        """Return a table as Markdown.

        Args:
            name: "NAME:KIND".
            page: name of the page, for errors.
            with_provenance: whether the table ends with the provenance line of its rows.

        Raises:
            UserError: the kind of table does not exist, or the file of rows is damaged.
        """
        key = (name, with_provenance)
        if key not in self._built:
            self._built[key] = self._build(name, page, with_provenance)
        return self._built[key]

    def rows(self, owner: str) -> list[dict]:
        """Return the committed rows of a suite or study that can be compared with each other."""
        if owner not in self._rows:
            self._rows[owner], _ = partition_comparable(committed_rows(owner, self.root))
        return self._rows[owner]

    def _build(self, name: str, page: str, with_provenance: bool) -> str:
        if name in self._rowless:
            return self._rowless[name]()
        if name in (compared := methods.tables() | real.tables()):
            return compared[name](self.rows)
        owner, _, kind = name.rpartition(":")
        study = owner in registry.files("study")
        tables = studies.page_tables(owner) if study else SUITE_TABLES | OWN_TABLES.get(owner, {})
        known: dict[str, Callable] = {**tables, PROVENANCE: provenance_line}
        if kind not in known:
            raise unknown(f"kind of table {name!r} in {page}", kind, (*known, *self._rowless, *compared))
        rows = self.rows(owner)
        if not rows:
            return no_rows(owner, study)
        text = known[kind](rows)
        if not study and kind != PROVENANCE and (under := Results.of(rows).directions):
            text = f"{under}\n\n{text}"
        return f"{text}\n\n{provenance_line(rows)}" if with_provenance and kind != PROVENANCE else text


def owners(name: str) -> list[str]:
    """Return the suites and studies whose rows a table shows.

    >>> owners("quick:score"), owners("papers:suites")
    (['quick'], [])
    """
    if name in PAPER_TABLES or name.startswith(f"{COMMAND_LINE}:"):
        return []
    for group in (methods, real):
        if name in group.tables():
            return group.owners(name)
    return [name.rpartition(":")[0]]
