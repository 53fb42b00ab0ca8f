"""Studies: micro-benchmarks, each in one public file that defines `STUDY`.

`python -m benchmarks study NAME` measures and prints a table. `--save` also writes the rows to
`results/reference/<name>.jsonl`, from which `docs` and `plots` take every number.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import registry
from benchmarks.config.fingerprint import study_fingerprint
from benchmarks.results import row as row_file
from benchmarks.results import store

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Option:
    """One option of a study on the command line.

    Attributes:
        name: the name without leading hyphens ("batch-size"); `measure` reads the attribute "batch_size".
        help: one line of help, with the unit.
        default: the default value; if it is None, `help` explains the default.
        type: converts the text of the argument.
        many: whether the option takes several values.
        choices: the allowed values; None allows any value.
        metavar: placeholder of the value in `--help`.
    """

    name: str
    help: str
    default: Any = None
    type: Callable[[str], Any] = str
    many: bool = False
    choices: Sequence[str] | None = None
    metavar: str | None = None


@dataclass(frozen=True)
class Study:
    """A micro-benchmark.

    Attributes:
        measure: takes the options and a function that prints a line of progress, and returns rows. A long
            study yields lists of rows instead, each of which is saved as soon as it is complete.
        table: formats rows as text.
        key: names of fields. Saving replaces committed rows that agree with a new row in these fields. If the
            key is empty, it replaces all rows.
        order: sort key of the committed file; None appends new rows to the old ones.
        tables: further tables for pages, by name; each formats rows as Markdown.
        figures: names of the figures in `plots` that show the rows.
        options: options in addition to `--save`.
        problem: returns one line that describes a problem with the rows, or None. If there is a problem, the
            command exits with code 1.
    """

    measure: Callable[
        [argparse.Namespace, Callable[[str], None]], list[dict[str, Any]] | Iterator[list[dict[str, Any]]]
    ]
    table: Callable[[Rows], str]
    key: tuple[str, ...] = ()
    order: Callable[[Mapping[str, Any]], Any] | None = None
    tables: Mapping[str, Callable[[Rows], str]] = field(default_factory=dict)
    figures: tuple[str, ...] = ()
    options: tuple[Option, ...] = ()
    problem: Callable[[Rows], str | None] | None = None


def load(name: str) -> Study:
    """Return a study by name; a `UserError` for an unknown name suggests the nearest one."""
    return registry.module("study", name).STUDY


def page_tables(name: str) -> dict[str, Callable[[Rows], str]]:
    """Return the tables of a study by the KIND that a page names in `<!-- table:NAME:KIND -->`."""
    study = load(name)
    return {"table": study.table, **study.tables}


def measured(
    study: Study, options: argparse.Namespace, say: Callable[[str], None]
) -> Iterator[list[dict[str, Any]]]:
    """Yield the rows of a study, in lists that can be saved separately."""
    found = study.measure(options, say)
    yield from [found] if isinstance(found, list) else found


def save(name: str, rows: Rows, folder: Path | None = None) -> Path:
    """Merge new rows into a study's file, and return the file.

    Each row gets the study's name in the field "study" and the hash of the code that measured it in
    "source_fingerprint".

    Args:
        name: the study.
        rows: its rows.
        folder: the folder of the file; None means the committed rows.
    """
    origin = {"study": name, "source_fingerprint": study_fingerprint(name)}
    return merge(name, [{**row, **origin} for row in rows], folder)


def merge(name: str, rows: Rows, folder: Path | None = None) -> Path:
    """Merge rows that have been saved before into a study's file, and return the file.

    `Study.key` determines the rows that they replace. The file is replaced at once, so a kill loses no row.

    Args:
        name: the study.
        rows: rows with the fields that `save` adds.
        folder: the folder of the file; None means the committed rows.
    """
    study = load(name)
    target = (folder or store.REFERENCE) / f"{name}.jsonl"
    old = row_file.read(target) if target.exists() else []
    target.parent.mkdir(parents=True, exist_ok=True)
    row_file.write_lines(target, merged(study, old, rows))
    return target


def merged(study: Study, old: Rows, new: Rows) -> list[Mapping[str, Any]]:
    """Return the old rows that no new row replaces, followed by the new rows, in the study's order."""

    def key(row: Mapping[str, Any]) -> tuple:
        return tuple(row.get(name) for name in study.key)

    replaced = set(map(key, new))
    every = [*(row for row in old if key(row) not in replaced), *new]
    return sorted(every, key=study.order) if study.order else every
