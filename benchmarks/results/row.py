"""The schema of result rows, their reader, and their writer.

A row is one JSON object: the row of a run (with its "config") or the row of a study (with the study's name
under "study"). A `.json` file holds one row, a `.jsonl` file one row per line. This module imports nothing
heavy, because tables and plots use it, too.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.errors import UserError
from benchmarks.files import write_atomically

SCHEMA = 2
_NUMBER = (int, float)
_NAMES = {str: "a string", int: "a whole number", float: "a number", dict: "an object", list: "a list"}
# Required fields of a run's row, by path, and the types of their values.
REQUIRED: dict[str, tuple[type, ...]] = {
    "id": (str,),
    "status": (str,),
    "config": (dict,),
    "config.method": (str,),
    "config.model": (str,),
    "config.task": (str,),
    "config.settings": (dict,),
    "curve": (list,),
}
# Optional fields; null counts as missing.
OPTIONAL: dict[str, tuple[type, ...]] = {
    "label": (str,),
    "metric": (str,),
    **dict.fromkeys(("task_version", "generator_version"), (int,)),
    "test": (dict,),
    **dict.fromkeys(("test_long", "test_short", "validation"), (dict,)),
    "heaviest_batches": (dict,),
    "config.shots": (int,),
    **dict.fromkeys(("config.steps", "config.seconds", "config.examples"), _NUMBER),
    "config.forward_equivalents": _NUMBER,
    **dict.fromkeys(("config.settings.lr", "config.settings.alpha"), _NUMBER),
    **dict.fromkeys(("config.settings.zo_batch_size", "config.settings.fo_batch_size"), (int,)),
    **dict.fromkeys(("test.auc", "test.loss", "validation.score", "validation.loss"), _NUMBER),
    **dict.fromkeys(("test_long.score", "test_short.score"), _NUMBER),
    **dict.fromkeys(("majority", "majority_long", "majority_short", "majority_validation"), _NUMBER),
    **dict.fromkeys(("long_above_tokens", "gpus"), (int,)),
    **dict.fromkeys(("config.train_on", "config.metric"), (str,)),
    "config.demonstrations": (int,),
    "demonstrations_shown": _NUMBER,
    **dict.fromkeys(("score", "peak_bytes", "train_seconds", "train_seconds_to_best"), _NUMBER),
    "best_step": (int,),
    **dict.fromkeys(("config.seed", "config.data_seed"), (int,)),
    **dict.fromkeys(("config.dtype", "config.data", "config.device"), (str,)),
    **dict.fromkeys(
        ("task_title", "reason", "started", "ended", "hardware", "git_commit", "peak_how"), (str,)
    ),
    **dict.fromkeys(("model_commit", "data_commit", "config.data_revision"), (str,)),
    "versions": (dict,),
    "optimizer": (dict,),
    "batch_sizes": (dict,),
    "batch_sizes_tried": (list,),
}
_POINT = ("train_seconds", "examples", "forward_equivalents", "score", "loss")
_MISSING = object()


def checksum(row: Mapping[str, Any]) -> str:
    """Return 16 hexadecimal digits of a hash of a row's content, excluding its "checksum" field."""
    content = {key: value for key, value in row.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def parse(text: str, where: str) -> dict[str, Any]:
    """Parse and check a row.

    Args:
        text: the row as JSON.
        where: the file, with the line number in a `.jsonl` file; error messages begin with it.

    Raises:
        UserError: the text is not a row, has an earlier schema, or was changed after it was written.
    """
    advice = "remove it or run it again"
    try:
        row = json.loads(text)
    except ValueError as error:
        raise UserError(f"{where}: not JSON ({getattr(error, 'msg', error)}); {advice}") from None
    if not isinstance(row, dict) or not {"config", "study", "benchmark"} & row.keys():
        raise UserError(f"{where}: not a result row (an object with a 'config' or a 'study'); {advice}")
    if "benchmark" in row or ("config" in row and row.get("schema") != SCHEMA):
        raise UserError(
            f"{where}: written before schema {SCHEMA}; convert it with `python scripts/migrate_rows.py FILE`"
        )
    if "checksum" in row and row["checksum"] != checksum(row):
        raise UserError(f"{where}: changed after it was written; {advice}")
    if "config" in row and (problem := _problem(row)):
        raise UserError(f"{where}: not a result row ({problem}); {advice}")
    return row


def _problem(row: Mapping[str, Any]) -> str | None:
    """Return a description of the first problem in a run's row, or None."""
    for path, types in (REQUIRED | OPTIONAL).items():
        value = _at(row, path)
        if value is _MISSING or (value is None and path in OPTIONAL):
            if path in REQUIRED:
                return f"no {path}"
        elif type(value) not in types:
            return f"{path} must be {_NAMES[types[-1]]}, not {value!r:.40}"
    for point in row["curve"]:
        if not isinstance(point, dict) or type(point.get("step")) is not int:
            return "each entry of curve must be an object with a step"
        if not all(point.get(name) is None or type(point[name]) in _NUMBER for name in _POINT):
            return "each entry of curve must contain numbers"
    return None


def _at(row: Any, path: str) -> Any:
    for name in path.split("."):
        if not isinstance(row, dict) or name not in row:
            return _MISSING
        row = row[name]
    return row


def read(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a file: one row for `.json`, one row per line for `.jsonl`.

    Raises:
        UserError: the file cannot be read, or `parse` rejects a row.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    if path.suffix == ".jsonl":
        lines = enumerate(text.splitlines(), 1)
        return [parse(line, f"{path}:{n}") for n, line in lines if line.strip()]
    return [parse(text, str(path))]


def dump(row: Mapping[str, Any]) -> str:
    """Return a row as one line of JSON with sorted keys."""
    return json.dumps(row, sort_keys=True)


def write(path: Path, row: Mapping[str, Any]) -> None:
    """Write one row with its checksum, atomically."""
    sealed = {**row, "checksum": checksum(row)}
    write_atomically(path, json.dumps(sealed, indent=1, sort_keys=True) + "\n")


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows unchanged, one per line, atomically."""
    write_atomically(path, "".join(dump(row) + "\n" for row in rows))
