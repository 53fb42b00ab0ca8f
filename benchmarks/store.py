"""Results on disk: one file a finished run, written whole or not at all."""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks import registry
from benchmarks.errors import UserError
from benchmarks.models import WEIGHTS, builtin
from benchmarks.spec import ZERO_SHOT, RunSpec

ROOT = registry.ROOT
RUNS = ROOT / "results" / "runs"
REFERENCE = ROOT / "results" / "reference"
# The harness's files that define a row's numbers; the others only carry them.
HARNESS = ("data", "dropout", "encoding", "evaluate", "measure", "scoring", "spec", "train")


def folder(suite: str) -> Path:
    """Where the rows of a suite lie."""
    return RUNS / suite


def write(suite: str, row: Mapping[str, Any]) -> Path:
    """Writes a row under its id, atomically.

    Raises:
        UserError: the folder cannot be written to.
    """
    target = folder(suite) / f"{row['id']}.json"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, json.dumps(row, indent=1, sort_keys=True) + "\n")
    except OSError as error:
        raise UserError(f"cannot write results to {target.parent}: {error.strerror}") from None
    return target


def write_atomically(target: Path, text: str) -> None:
    """Puts a whole new file in place of `target`, or leaves it as it was."""
    part = tempfile.NamedTemporaryFile(  # noqa: SIM115
        "w", dir=target.parent, prefix=".", suffix=".part", delete=False
    )
    try:
        with part:
            part.write(text)
            part.flush()
            os.fsync(part.fileno())
        os.chmod(part.name, 0o644)
        os.replace(part.name, target)
    except BaseException:
        os.unlink(part.name)
        raise


def read_suite(suite: str) -> list[dict[str, Any]]:
    """All rows of a suite's own runs, in the order of their ids."""
    return [read_row(path) for path in sorted(folder(suite).glob("*.json"))]


def read_row(path: Path) -> dict[str, Any]:
    """One row; UserError naming the file if it is not whole."""
    try:
        row = json.loads(path.read_text())
    except ValueError as error:
        raise UserError(f"{path} is not a whole result row ({error}): remove it to run it again") from None
    if not isinstance(row, dict) or "id" not in row or "status" not in row:
        raise UserError(f"{path} is not a result row: remove it to run it again")
    return row


def finished(suite: str, spec: RunSpec, data_fingerprint: str) -> bool:
    """Whether the suite holds a finished row of this spec, these data and these sources."""
    path = folder(suite) / f"{spec.id}.json"
    if not path.exists():
        return False
    row = read_row(path)
    return (
        row["status"] == "done"
        and row["data_fingerprint"] == data_fingerprint
        and row["source_fingerprint"] == source_fingerprint(spec.method, spec.model, spec.task)
    )


@cache
def source_fingerprint(method: str, model: str, task: str) -> str:
    """16 hexadecimal digits of a hash of all files that define a run's numbers."""
    # addax/trainer.py steps methods in another loop than the harness's.
    files = [file for file in sorted((ROOT / "addax").glob("*.py")) if file.name != "trainer.py"]
    files += [ROOT / "benchmarks" / f"{name}.py" for name in HARNESS]
    # A baseline may build on another one; helpers of tasks and families are shared by all.
    files += [] if method == ZERO_SHOT else sorted((ROOT / "baselines").glob("*.py"))
    files += [registry.path("task", task), *sorted((ROOT / "benchmarks" / "tasks").glob("_*.py"))]
    files += sorted((ROOT / "benchmarks" / "models").glob("*.py"))
    if model in builtin():
        files += sorted((WEIGHTS / model).glob("*"))
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.relative_to(ROOT).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    # The files of a local model can be too large to read whole each time.
    for file in sorted(Path(model).expanduser().glob("*")) if model not in builtin() else []:
        digest.update(f"{file.name} {file.stat().st_size} {file.stat().st_mtime_ns}\0".encode())
    return digest.hexdigest()[:16]


def commit_reference(suite: str, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Writes rows as the suite's committed JSON-lines file, one row a line in the order given."""
    REFERENCE.mkdir(parents=True, exist_ok=True)
    target = REFERENCE / f"{suite}.jsonl"
    write_atomically(target, "".join(json.dumps(row, sort_keys=True) + "\n" for row in rows))
    return target
