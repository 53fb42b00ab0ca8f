"""Studies: micro-benchmarks, one public file each that binds `STUDY`.

`python -m benchmarks study NAME` measures and prints a table; `--save` also keeps the rows in
`results/reference/<name>.jsonl`, from which `docs` and `plots` take every number.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
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
        name: without the leading hyphens ("batch-size"); `measure` reads it as an attribute ("batch_size").
        help: one line, with the unit.
        default: the value without the option; None where `help` says what happens then.
        type: converts the given text.
        many: whether the option takes several values.
        choices: the values allowed; None allows all.
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
        measure: takes the options and a function that reports progress in lines, and returns rows.
        table: turns rows into text.
        key: fields of a row; saving replaces the committed rows whose `key` equals that of a new row, and
            with no key all of them.
        order: sort key of the committed file; None keeps new rows behind old ones.
        tables: further tables for pages, by name; each turns rows into Markdown.
        figures: figures of `plots` that show the rows.
        options: options besides `--save`.
        problem: says in one line what is wrong with rows (the command then exits with 1), or returns None.
    """

    measure: Callable[[argparse.Namespace, Callable[[str], None]], list[dict[str, Any]]]
    table: Callable[[Rows], str]
    key: tuple[str, ...] = ()
    order: Callable[[Mapping[str, Any]], Any] | None = None
    tables: Mapping[str, Callable[[Rows], str]] = field(default_factory=dict)
    figures: tuple[str, ...] = ()
    options: tuple[Option, ...] = ()
    problem: Callable[[Rows], str | None] | None = None


def load(name: str) -> Study:
    """Return a study by name; `UserError` naming the nearest one if there is no such study."""
    return registry.module("study", name).STUDY


def page_tables(name: str) -> dict[str, Callable[[Rows], str]]:
    """Return what `<!-- table:NAME:KIND -->` may show of a study, by kind."""
    study = load(name)
    return {"table": study.table, **study.tables}


def save(name: str, rows: Rows) -> Path:
    """Merge rows into a study's committed file, and return the file.

    A row gets the study's name under "study" and, under "source_fingerprint", the hash of the code that
    measured it. See `Study.key` for what it replaces.
    """
    study, origin = load(name), {"study": name, "source_fingerprint": study_fingerprint(name)}
    target = store.REFERENCE / f"{name}.jsonl"
    old = row_file.read(target) if target.exists() else []
    target.parent.mkdir(parents=True, exist_ok=True)
    row_file.write_lines(target, merged(study, old, [{**row, **origin} for row in rows]))
    return target


def merged(study: Study, old: Rows, new: Rows) -> list[Mapping[str, Any]]:
    """Return old rows without those that new rows replace, then the new ones; in the study's order."""

    def key(row: Mapping[str, Any]) -> tuple:
        return tuple(row.get(name) for name in study.key)

    replaced = set(map(key, new))
    every = [*(row for row in old if key(row) not in replaced), *new]
    return sorted(every, key=study.order) if study.order else every
