"""Rows that an interrupted study saved, so that a long study continues where it stopped."""

import argparse
from collections.abc import Mapping
from typing import Any

from benchmarks.config.fingerprint import study_fingerprint
from benchmarks.profiling.environment import provenance_fields
from benchmarks.results import row as row_file
from benchmarks.results import store


def saved_rows(name: str, options: argparse.Namespace, device: str) -> list[Mapping[str, Any]]:
    """Return the rows that the study would measure again: same code, package versions, device, and hardware.

    Args:
        name: the study, whose rows have the field "device".
        options: the command's options. Without `--save` or `--save-to` no rows are used.
        device: the device that the study measures on.
    """
    folder = options.save_to or (store.REFERENCE if options.save else None)
    file = folder / f"{name}.jsonl" if folder else None
    if file is None or not file.exists():
        return []
    here = provenance_fields(device)
    same = {key: here[key] for key in ("versions", "hardware")}
    same |= {"device": device, "source_fingerprint": study_fingerprint(name)}
    return [row for row in row_file.read(file) if all(row.get(key) == value for key, value in same.items())]
