"""Folders of saved models: where they are, which run they are of, and whether one may be written.

results/runs/<suite>/models/<spec id>/        with `sweep SUITE --save-models`
DIR/                                          with `run ... --save-model DIR`

`run.json` in a folder names the run whose weights it holds. This module imports nothing heavy.
"""

import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.config.fingerprint import source_fingerprint
from benchmarks.config.names import ZERO_SHOT
from benchmarks.errors import UserError
from benchmarks.models import _adapters
from benchmarks.results import store

if TYPE_CHECKING:
    from benchmarks.config.spec import RunSpec

RECORD = "run.json"
# The fields of a row that tell whether a folder holds the weights of this row.
IDENTITY = ("id", "data_fingerprint", "source_fingerprint")


def folder(suite: str, spec: "RunSpec") -> Path:
    """Return the folder in which a sweep saves the model of a run."""
    return store.folder(suite) / "models" / spec.id


def is_wanted(spec: "RunSpec") -> bool:
    """Return whether a run has weights to save; zero-shot trains nothing."""
    return spec.method != ZERO_SHOT


def is_of(path: Path, spec: "RunSpec", data_fingerprint: str) -> bool:
    """Return whether a folder holds the weights of a run with the same spec, data, and sources."""
    own = dict(zip(IDENTITY, (spec.id, data_fingerprint, source_fingerprint(spec)), strict=True))
    record = read(path)
    return all(record.get(name) == value for name, value in own.items())


def is_missing(suite: str, spec: "RunSpec", data_fingerprint: str) -> bool:
    """Return whether a finished run of a sweep has weights to save, but its folder does not hold them."""
    row = store.row_of(suite, spec, data_fingerprint)
    if not is_wanted(spec) or (row is not None and row["status"] != "done"):
        return False
    return not is_of(folder(suite, spec), spec, data_fingerprint)


def read(path: Path) -> dict[str, Any]:
    """Return the record in a folder of a saved model; empty if there is none."""
    try:
        record = json.loads((path / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def check_spec(spec: "RunSpec") -> None:
    """Reject a run whose model could not be loaded again.

    Raises:
        UserError: the run would train new adapters on an adapter folder (peft loads one on a whole model), or
            a prefix, whose positions are not those of peft's prefixes.
    """
    if spec.trainable.startswith("prefix"):
        raise UserError(
            f"a prefix of trainable={spec.trainable} cannot be saved as a model: peft's prefixes shift the "
            "positions of all tokens, and MeZO's do not; use trainable=lora:R"
        )
    if spec.trainable.startswith("lora") and _adapters.folder_of(spec.model) is not None:
        raise UserError(
            f"adapters of trainable={spec.trainable} on {spec.model} cannot be saved, because their base is "
            "an adapter folder: save a merged model first (trainable=all), or use trainable=adapter"
        )


def check_target(path: Path, spec: "RunSpec") -> None:
    """Check that the model of a run can be saved to a folder, before the run starts.

    A folder that holds the model of the same run is replaced, so that a run whose process was killed before
    it had written its row can be repeated.

    Raises:
        UserError: the run trains nothing, the folder has other content, or it is not writable.
    """
    if not is_wanted(spec):
        raise UserError(
            f"--save-model: zero-shot trains nothing, so it has no weights to save; use {spec.model} itself"
        )
    check_spec(spec)
    where = f"--save-model {path}"
    try:
        if path.exists() and not path.is_dir():
            raise UserError(f"{where}: it is a file; name a folder that does not exist")
        if path.is_dir() and any(path.iterdir()) and read(path).get("id") != spec.id:
            raise UserError(f"{where}: the folder is not empty; name one that does not exist, or empty it")
        path.parent.mkdir(parents=True, exist_ok=True)
        # The model is written beside the folder and renamed, so the parent must be writable.
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise UserError(f"{where}: cannot write to {path.parent}: {os.strerror(error.errno)}") from None
