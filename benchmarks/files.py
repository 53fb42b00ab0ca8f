"""Atomic file writes."""

import os
import tempfile
from pathlib import Path


def write_atomically(target: Path, text: str) -> None:
    """Replace `target` by a complete new file, or leave it unchanged.

    Raises:
        OSError: the folder does not exist, or the file cannot be written.
    """
    part = tempfile.NamedTemporaryFile(  # noqa: SIM115
        "w", dir=target.parent, prefix=".", suffix=".part", delete=False, encoding="utf-8"
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
