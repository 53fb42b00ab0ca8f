"""Text of a data file: decompressed, without a byte-order mark, and checked to be UTF-8."""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from benchmarks.errors import UserError


@contextmanager
def opened(path: Path, newline: str | None = None) -> Iterator[TextIO]:
    """Open a text file, which is compressed if its name ends in ".gz".

    Bytes that are not UTF-8 become lone surrogates, so that `column_of_bad_byte` can find their line.

    Args:
        path: the file.
        newline: as in `open`.

    Raises:
        UserError: the file cannot be read, also if this appears only while it is read.
    """
    open_any = gzip.open if path.suffix.lower() == ".gz" else open
    try:
        with open_any(path, "rt", encoding="utf-8-sig", errors="surrogateescape", newline=newline) as file:
            yield file
    except (OSError, EOFError, zlib.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        damaged = isinstance(error, (EOFError, zlib.error, gzip.BadGzipFile))
        remedy = ": the file is damaged or incomplete, so copy it again" if damaged else ""
        raise UserError(f"{path} cannot be read: {reason}{remedy}") from error


def column_of_bad_byte(text: str) -> int | None:
    """Return the column, from 1, of the first byte of a text that is not UTF-8; None if there is none."""
    if text.isascii():
        return None
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return error.start + 1
    return None
