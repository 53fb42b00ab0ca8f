"""Rows of CSV and TSV files. The first line names the columns; all values are texts."""

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.data.formats.text import column_of_bad_byte, opened
from benchmarks.errors import UserError
from benchmarks.tasks._fields import Texts

# The default of 131,072 characters is less than a long document. This is the largest value everywhere.
csv.field_size_limit(2**31 - 1)
_NUMBER = re.compile(r"[-+]?\d+(\.\d*)?")
# Delimiter -> its name in messages.
DELIMITERS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "vertical bars"}


def commas(path: Path) -> Iterator[tuple[str, Texts]]:
    """Yield the rows of a CSV file; see `_rows`."""
    return _rows(path, ",")


def tabs(path: Path) -> Iterator[tuple[str, Texts]]:
    """Yield the rows of a TSV file, whose fields are separated by tabs; see `_rows`."""
    return _rows(path, "\t")


def _rows(path: Path, delimiter: str) -> Iterator[tuple[str, Texts]]:
    """Yield the rows of a file with the number of the line on which each starts.

    A quoted field may contain delimiters, line ends, and doubled quotes (RFC 4180). Blank lines are skipped.

    Raises:
        UserError: the file cannot be read, the first line does not name the columns, or a row has another
            number of fields than the first line.
    """
    with opened(path, newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        names: list[str] | None = None
        before = 0
        while True:
            try:
                values = next(reader, None)
            except csv.Error as error:
                raise UserError(f"{path}, line {before + 1}: {_problem(error, delimiter)}") from error
            if values is None:
                return
            line, before = before + 1, reader.line_num
            if len(values) < 2 and not "".join(values).strip():
                continue
            if names is None:
                names = _header(path, line, values, delimiter)
                continue
            if len(values) != len(names):
                raise UserError(
                    f"{path}, line {line}: {len(values)} fields, but line 1 names {len(names)} "
                    f"({', '.join(names)}): put quotes around fields that contain {DELIMITERS[delimiter]}, "
                    "quotes, or line ends"
                )
            row = Texts(zip(names, values, strict=True))
            if not all(map(str.isascii, values)):
                for name, value in row.items():
                    if column_of_bad_byte(value) is not None:
                        raise UserError(
                            f"{path}, line {line}: field {name!r} is not UTF-8: save the file as UTF-8"
                        )
            # The unnamed first column that pandas writes holds the numbers of the rows.
            row.pop("", None)
            yield f"line {line}", row


def _header(path: Path, line: int, values: Sequence[str], delimiter: str) -> list[str]:
    """Return the names of the columns."""
    names = [value.strip() for value in values]
    where = f"{path}, line {line}"
    if column_of_bad_byte("".join(names)) is not None:
        raise UserError(f"{where}: not UTF-8: save the file as UTF-8")
    others = [mark for mark in DELIMITERS if mark != delimiter and mark in names[0]]
    if len(names) == 1 and others:
        other = max(others, key=names[0].count)
        remedy = "rename the file to .tsv" if other == "\t" else f"separate them by {DELIMITERS[delimiter]}"
        if other == "," and delimiter == "\t":
            remedy = "rename the file to .csv"
        raise UserError(
            f"{where}: the columns are separated by {DELIMITERS[other]}, not by {DELIMITERS[delimiter]} "
            f"({names[0]!r:.60}): {remedy}"
        )
    unnamed = [i for i, name in enumerate(names) if _NUMBER.fullmatch(name) or (not name and i)]
    if unnamed:
        raise UserError(
            f"{where}: column {unnamed[0] + 1} has no name ({names[unnamed[0]]!r:.40}): the first line must "
            "name the columns, as in text,label"
        )
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise UserError(f"{where}: column {twice[0]!r} is there twice: rename or remove one of them")
    return names


def _problem(error: csv.Error, delimiter: str) -> str:
    """Return what is wrong with a row, and what to do, in place of the message of `csv`."""
    message = str(error)
    if "unexpected end of data" in message:
        return "a field that starts with a quote does not end: close the quote, or double a quote inside it"
    if "expected after" in message:
        return f"a quote inside a quoted field ends it too early ({message}): write it twice"
    return f"not readable ({message}): separate fields by {DELIMITERS[delimiter]}"
