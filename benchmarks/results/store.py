"""Where the rows, checkpoints, and locks of runs lie, and which runs are finished.

results/runs/<suite>/<spec id>.json, checkpoints/<spec id>-.../, locks/<spec id>.lock
"""

import re
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from benchmarks import registry
from benchmarks.config.fingerprint import source_fingerprint
from benchmarks.config.spec import RunSpec
from benchmarks.errors import UserError
from benchmarks.results import row as row_files

RUNS = registry.ROOT / "results" / "runs"
REFERENCE = registry.ROOT / "results" / "reference"
# Runs with these statuses are finished; the next sweep repeats those that failed or were killed.
FINISHED = ("done", "OOM")


def folder(suite: str) -> Path:
    """Return the folder of a suite's rows."""
    return RUNS / suite


def checkpoints(suite: str) -> Path:
    """Return the folder of the checkpoints of a suite's runs."""
    return folder(suite) / "checkpoints"


def check_writable(suite: str) -> None:
    """Check, before any run, that rows can be written.

    Raises:
        UserError: the suite's name is not that of a folder, or its folder cannot be written to.
    """
    if not re.fullmatch(r"\w[\w.-]*", suite):
        raise UserError(f"--suite {suite!r}: the name of a folder, of letters, digits, '-', '_' and '.'")

    def probe() -> None:
        with tempfile.TemporaryFile(dir=folder(suite)) as file:
            file.write(b"row")

    _in_folder(folder(suite), probe)


def lock(suite: str, spec_id: str) -> FileLock:
    """Return the lock of one run, which the kernel releases when its process ends.

    Raises:
        UserError: the folder cannot be written to.
    """
    path = folder(suite) / "locks" / f"{spec_id}.lock"
    _in_folder(path.parent, lambda: None)
    return FileLock(path)


def write(suite: str, row: Mapping[str, Any]) -> Path:
    """Write a row with its checksum under its id, whole or not at all; return the file.

    Raises:
        UserError: the folder cannot be written to.
    """
    target = folder(suite) / f"{row['id']}.json"
    _in_folder(target.parent, lambda: row_files.write(target, row))
    return target


def read_suite(suite: str) -> list[dict[str, Any]]:
    """Return all rows in the folder of a suite, in the order of their ids."""
    return [read_row(path) for path in sorted(folder(suite).glob("*.json"))]


def read_row(path: Path) -> dict[str, Any]:
    """Return the row in a file of a suite's folder.

    Raises:
        UserError: the file is not a row as it was written.
    """
    (row,) = row_files.read(path)
    if "checksum" not in row:
        raise UserError(f"{path}: no checksum; remove it or run it again")
    return row


def finished(suite: str, spec: RunSpec, data_fingerprint: str) -> bool:
    """Return whether the suite holds a finished row of a spec, with these data and the present sources."""
    row = row_of(suite, spec, data_fingerprint)
    return row is not None and row["status"] in FINISHED


def row_of(suite: str, spec: RunSpec, data_fingerprint: str) -> dict[str, Any] | None:
    """Return the suite's row of a spec, with these data and the present sources, or None; any status.

    Raises:
        UserError: there is a row, and it is damaged.
    """
    path = folder(suite) / f"{spec.id}.json"
    if not path.exists():
        return None
    row = read_row(path)
    sources = source_fingerprint(spec)
    same = (row.get("data_fingerprint"), row.get("source_fingerprint")) == (data_fingerprint, sources)
    return row if same else None


def _in_folder(parent: Path, action: Callable[[], None]) -> None:
    """Do something in a folder that may have to be made; name it if that fails."""
    try:
        parent.mkdir(parents=True, exist_ok=True)
        action()
    except OSError as error:
        raise UserError(f"cannot write results to {parent}: {error.strerror}") from None
