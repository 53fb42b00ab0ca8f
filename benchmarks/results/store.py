"""The folders of rows, checkpoints, and locks, and the check whether a run is finished.

results/runs/<suite>/<spec id>.json
results/runs/<suite>/checkpoints/<spec id>-.../
results/runs/<suite>/locks/<spec id>.lock
"""

import re
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from benchmarks import models, registry
from benchmarks.config.fingerprint import source_fingerprint
from benchmarks.config.spec import RunSpec
from benchmarks.errors import UserError
from benchmarks.results import row as row_files

RUNS = registry.RUNS
REFERENCE = registry.ROOT / "results" / "reference"
# A run with one of these statuses is finished. The next sweep repeats runs that failed or were killed.
FINISHED = ("done", "OOM")


def folder(suite: str) -> Path:
    """Return the folder of a suite's rows."""
    return RUNS / suite


def checkpoints(suite: str) -> Path:
    """Return the folder of the checkpoints of a suite's runs."""
    return folder(suite) / "checkpoints"


def check_writable(suite: str) -> None:
    """Check that rows can be written, before any run starts.

    Raises:
        UserError: the suite's name is not a valid folder name, or its folder is not writable.
    """
    if not re.fullmatch(r"\w[\w.-]*", suite):
        raise UserError(
            f"--suite {suite!r}: use only letters, digits, '-', '_', and '.'; '-' and '.' cannot come first"
        )

    def probe() -> None:
        with tempfile.TemporaryFile(dir=folder(suite)) as file:
            file.write(b"row")

    _in_folder(folder(suite), probe)


def lock(suite: str, spec_id: str) -> FileLock:
    """Return the lock of one run; the kernel releases it when the process that holds it ends.

    Raises:
        UserError: the folder is not writable.
    """
    path = folder(suite) / "locks" / f"{spec_id}.lock"
    _in_folder(path.parent, lambda: None)
    return FileLock(path)


def write(suite: str, row: Mapping[str, Any]) -> Path:
    """Write a row with its checksum to `<id>.json`, atomically, and return the file.

    Raises:
        UserError: the folder is not writable.
    """
    target = folder(suite) / f"{row['id']}.json"
    _in_folder(target.parent, lambda: row_files.write(target, row))
    return target


def read_suite(suite: str) -> list[dict[str, Any]]:
    """Return all rows in the folder of a suite, sorted by id."""
    return [read_row(path) for path in sorted(folder(suite).glob("*.json"))]


def read_row(path: Path) -> dict[str, Any]:
    """Return the row in a file of a suite's folder.

    Raises:
        UserError: the file is not a row, or was changed after it was written.
    """
    (row,) = row_files.read(path)
    if "checksum" not in row:
        raise UserError(f"{path}: no checksum; remove it or run it again")
    return row


def finished(suite: str, spec: RunSpec, data_fingerprint: str) -> bool:
    """Return whether the suite has a finished row of a spec with the same data and the current sources."""
    row = row_of(suite, spec, data_fingerprint)
    return row is not None and row["status"] in FINISHED


def has_finished_row(suite: str, spec: RunSpec) -> bool:
    """Return whether the suite has a finished row of a spec, whatever its data and sources."""
    path = folder(suite) / f"{spec.id}.json"
    return path.exists() and read_row(path)["status"] in FINISHED


def row_of(suite: str, spec: RunSpec, data_fingerprint: str) -> dict[str, Any] | None:
    """Return the suite's row of a spec, with any status, if its data and sources are current; else None.

    Raises:
        UserError: the row is damaged.
    """
    path = folder(suite) / f"{spec.id}.json"
    if not path.exists():
        return None
    row = read_row(path)
    sources = source_fingerprint(spec)
    same = (row.get("data_fingerprint"), row.get("source_fingerprint")) == (data_fingerprint, sources)
    # Without the model in the cache, which commit would be loaded is unknown. Older rows have no commit.
    commits = {row.get("model_commit"), models.commit_of(spec.model)} - {None}
    return row if same and len(commits) < 2 else None


def _in_folder(parent: Path, action: Callable[[], None]) -> None:
    """Create a folder if needed and run an action; an `OSError` becomes a `UserError` naming the folder."""
    try:
        parent.mkdir(parents=True, exist_ok=True)
        action()
    except OSError as error:
        raise UserError(f"cannot write results to {parent}: {error.strerror}") from None
