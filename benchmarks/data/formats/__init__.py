"""Readers of data files: JSON lines, JSON, CSV, TSV, and Parquet.

Every reader yields the raw rows of a file with their places ("line 7", "row 7"), one at a time, so that a
large file never is in memory as a whole twice. The text formats may be compressed with gzip. They are UTF-8,
with or without a byte-order mark, and their lines end in LF, CRLF, or CR.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.data.formats import delimited, json_rows, parquet
from benchmarks.errors import UserError, unknown

# A raw row and its place in the file.
Placed = tuple[str, Any]
READERS: dict[str, Callable[[Path], Iterator[Placed]]] = {
    ".jsonl": json_rows.lines,
    ".json": json_rows.document,
    ".csv": delimited.commas,
    ".tsv": delimited.tabs,
    ".parquet": parquet.rows,
}
COMPRESSED = ".gz"
# In the order in which an error lists them.
SUFFIXES = tuple(
    suffix + more for suffix in READERS for more in ("", COMPRESSED) if (suffix, more) != (".parquet", ".gz")
)
NAMES = "JSON lines, JSON, CSV, TSV, or Parquet"
# What a file without rows lacks.
NEEDS = {
    ".jsonl": "one JSON object per line",
    ".json": "an array of objects, or one object per line",
    ".csv": "a first line that names the columns, as in text,label, and a line per row",
    ".tsv": "a first line that names the columns, with tabs between them, and a line per row",
    ".parquet": "at least one row",
}


def suffix_of(path: Path) -> str | None:
    """Return the suffix of a data file, such as ".csv.gz"; None for any other file.

    >>> suffix_of(Path("a/reviews.v2.CSV.gz")), suffix_of(Path("notes.txt"))
    ('.csv.gz', None)
    """
    return next((suffix for suffix in reversed(SUFFIXES) if path.name.lower().endswith(suffix)), None)


def kind_of(path: Path) -> str:
    """Return the key of `READERS` of a data file.

    >>> kind_of(Path("train.jsonl.gz"))
    '.jsonl'
    """
    return suffix_of(path).removesuffix(COMPRESSED)


def stem_of(path: Path) -> str:
    """Return the name of a data file without its suffix.

    >>> stem_of(Path("a/reviews.v2.csv.gz"))
    'reviews.v2'
    """
    suffix = suffix_of(path)
    return path.name[: -len(suffix)] if suffix else path.stem


def check(path: Path) -> None:
    """Check that a path is an existing data file.

    Raises:
        UserError: it is missing, is no file, or has another suffix.
    """
    if not path.exists():
        raise UserError(f"no such data file: {path}")
    if not path.is_file():
        raise UserError(f"{path} is not a file: it must be a data file ({NAMES})")
    if suffix_of(path) is None:
        message = unknown("format", path.suffix, SUFFIXES)
        raise UserError(f"{path}: {message}; rename the file, or convert it to {NAMES}")


def rows(path: Path) -> Iterator[Placed]:
    """Yield each raw row of a data file with its place.

    Args:
        path: a file with one of `SUFFIXES`.

    Raises:
        UserError: the file cannot be read, or a row is not of its format; the message names the file, the
            place, and the remedy.
    """
    check(path)
    return READERS[kind_of(path)](path)
