"""Files that are written whole or not at all."""

import os
import tempfile
from pathlib import Path


def write_atomically(target: Path, text: str) -> None:
    """Put a whole new file in place of `target`, or leave it as it was.

    Raises:
        OSError: the folder does not exist or takes no file.
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
