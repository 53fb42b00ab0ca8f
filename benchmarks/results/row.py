"""A result row as text: its checksum, and what is refused as no row.

Imports nothing heavy, since tables and plots read rows too.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from benchmarks.errors import UserError


def checksum(row: Mapping[str, Any]) -> str:
    """16 hexadecimal digits of a hash of a row's content, its own checksum aside."""
    content = {key: value for key, value in row.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def parse(text: str, where: str) -> dict[str, Any]:
    """A row from its text; `UserError` naming the place unless it is whole and what was written.

    Args:
        text: JSON.
        where: the file, and the line where it has several.
    """
    advice = "the sweep sets it aside and runs it again, or remove it"
    try:
        row = json.loads(text)
    except ValueError as error:
        raise UserError(f"{where} is not a whole result row ({error}): {advice}") from None
    if not isinstance(row, dict) or not {"id", "status"} <= row.keys():
        raise UserError(f"{where} is not a result row: {advice}")
    if "checksum" in row and row["checksum"] != checksum(row):
        raise UserError(f"{where} was changed after it was written: {advice}")
    return row
