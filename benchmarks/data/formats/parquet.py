"""Rows of Parquet files, read by pyarrow."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks.errors import UserError

# Rows that are converted to Python objects at once. More use more memory and save no time.
BATCH = 1024


def rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the rows of a Parquet file, numbered from 1.

    Raises:
        UserError: pyarrow is missing, or the file cannot be read.
    """
    pyarrow = _pyarrow(path)
    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            names = Counter(file.schema_arrow.names)
            twice = next((name for name, count in names.items() if count > 1), None)
            if twice is not None:
                raise UserError(f"{path}: column {twice!r} is there twice: rename or remove one of them")
            for batch in file.iter_batches(BATCH):
                for row in batch.to_pylist():
                    number += 1
                    yield f"row {number}", row
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        where = f"{path}, row {number + 1}" if number else path
        raise UserError(
            f"{where} cannot be read as Parquet ({reason:.120}): the file is damaged or of another format: "
            "copy or convert it again"
        ) from error


def class_names(path: Path, column: str) -> list[str] | None:
    """Return the names of the classes of a column, which `datasets` stores in the file; None without them."""
    try:
        metadata = _pyarrow(path).parquet.read_schema(path).metadata or {}
        feature = json.loads(metadata[b"huggingface"])["info"]["features"][column]
        return list(map(str, feature["names"])) if feature.get("_type") == "ClassLabel" else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _pyarrow(path: Path) -> ModuleType:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise UserError(f"{path}: Parquet needs pyarrow: pip install pyarrow") from None
    return pyarrow
