"""Results on disk: one file a finished run, written whole or not at all, and sealed with a checksum.

results/runs/<suite>/<spec id>.json, checkpoints/<spec id>-.../, locks/<spec id>.lock
"""

import re
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from benchmarks import registry
from benchmarks.config.fingerprint import source_fingerprint
from benchmarks.config.spec import RunSpec
from benchmarks.errors import UserError
from benchmarks.results.row import read, write_lines
from benchmarks.results.row import write as write_row

RUNS = registry.ROOT / "results" / "runs"
REFERENCE = registry.ROOT / "results" / "reference"
# Statuses that stand: what failed or was killed is tried again by the next sweep.
FINISHED = ("done", "OOM")


def folder(suite: str) -> Path:
    """Where the rows of a suite lie."""
    return RUNS / suite


def checkpoints(suite: str) -> Path:
    """Where the checkpoints of a suite's runs lie."""
    return folder(suite) / "checkpoints"


def check_writable(suite: str) -> None:
    """`UserError` if the suite's folder cannot be written to, or its name is none; before any run."""
    if not re.fullmatch(r"\w[\w.-]*", suite):
        raise UserError(f"--suite {suite!r}: the name of a folder, of letters, digits, '-', '_' and '.'")

    def probe() -> None:
        with tempfile.TemporaryFile(dir=folder(suite)) as file:
            file.write(b"row")

    _guarded(folder(suite), probe)


def lock(suite: str, spec_id: str) -> FileLock:
    """The lock of one run, released by the kernel when its process ends; `acquire(timeout=0)` never waits.

    Raises:
        UserError: the folder cannot be written to.
    """
    path = folder(suite) / "locks" / f"{spec_id}.lock"
    _guarded(path.parent, lambda: None)
    return FileLock(path)


def write(suite: str, row: Mapping[str, Any]) -> Path:
    """Write a row under its id, atomically, with the checksum of what it holds.

    Raises:
        UserError: the folder cannot be written to.
    """
    target = folder(suite) / f"{row['id']}.json"
    _guarded(target.parent, lambda: write_row(target, row))
    return target


def _guarded(parent: Path, work: Callable[[], None]) -> None:
    try:
        parent.mkdir(parents=True, exist_ok=True)
        work()
    except OSError as error:
        raise UserError(f"cannot write results to {parent}: {error.strerror}") from None


def read_suite(suite: str) -> list[dict[str, Any]]:
    """Return all rows of a suite's own runs, in the order of their ids."""
    return [read_row(path) for path in sorted(folder(suite).glob("*.json"))]


def read_row(path: Path) -> dict[str, Any]:
    """Return the row of a file; `UserError` naming the file if it is not what was written."""
    (row,) = read(path)
    if "checksum" not in row:
        raise UserError(f"{path}: a row without checksum; remove it or run it again")
    return row


def finished(suite: str, spec: RunSpec, data_fingerprint: str) -> bool:
    """Whether the suite holds a finished row of this spec, these data and these sources; see `row_of`."""
    row = row_of(suite, spec, data_fingerprint)
    return row is not None and row["status"] in FINISHED


def row_of(suite: str, spec: RunSpec, data_fingerprint: str) -> dict[str, Any] | None:
    """The suite's row of this spec, these data and these sources, whatever its status; or None.

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


def commit_reference(suite: str, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write rows as the committed JSON-lines file of a suite or study, in the order given."""
    REFERENCE.mkdir(parents=True, exist_ok=True)
    target = REFERENCE / f"{suite}.jsonl"
    write_lines(target, rows)
    return target
