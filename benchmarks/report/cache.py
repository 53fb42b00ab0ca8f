"""Whether what a report made still stands: nothing is made again of what has not changed."""

import hashlib
import importlib.metadata
import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.registry import ROOT

# Whose files decide what tables, figures and pages look like, with every installed package.
CODE = ("benchmarks", "plots")
KINDS = {".py", ".j2", ".css", ".js"}


def origin(*parts: object) -> str:
    """SHA-256 of what a report is made of: the parts (as JSON), the code here and the packages installed."""
    packages = sorted({(d.name, d.version) for d in importlib.metadata.distributions()})
    digest = hashlib.sha256(json.dumps([packages, *parts], sort_keys=True).encode())
    for file in sorted(file for name in CODE for file in (ROOT / name).rglob("*") if file.suffix in KINDS):
        digest.update(f"{file.relative_to(ROOT)} {_digest(file)}\n".encode())
    return digest.hexdigest()


def standing(note: Path, origin: str, root: Path) -> list[Path] | None:
    """The files that a report made of this origin, if each is still as it was written; None if not.

    Args:
        note: the file that `write` wrote; it may be missing or damaged.
        origin: of what the report would be made now.
        root: the folder that the files are named from.
    """
    try:
        held = json.loads(note.read_text(encoding="utf-8"))
        files = {root / name: digest for name, digest in held["files"].items()}
        if held["origin"] != origin or any(_digest(file) != digest for file, digest in files.items()):
            return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return list(files)


def write(note: Path, origin: str, files: Sequence[Path], root: Path) -> None:
    """Notes what a report made of this origin; last of all, so that half a report never stands."""
    held = {file.relative_to(root).as_posix(): _digest(file) for file in files}
    note.write_text(json.dumps({"origin": origin, "files": held}), encoding="utf-8")


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
