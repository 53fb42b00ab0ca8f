"""Folders are the registry: a name on the command line is a file's name, no table is kept.

A file `benchmarks/tasks/sst2.py` that binds `TASK` is the task `sst2`; the same holds for models
(`FAMILY`), suites (`specs`) and methods (a class). Files whose name begins with `_` are helpers.
"""

import ast
import importlib
from functools import cache
from pathlib import Path
from types import ModuleType

from benchmarks.errors import unknown

ROOT = Path(__file__).resolve().parent.parent
METHOD_FILES = (ROOT / "addax" / "addax.py",)


def _stems(folder: Path) -> dict[str, Path]:
    return {f.stem.replace("_", "-"): f for f in sorted(folder.glob("*.py")) if f.stem[0] != "_"}


@cache
def files(kind: str) -> dict[str, Path]:
    """Names of one kind ("method", "task", "model", "suite") and the files that define them."""
    if kind == "method":
        return {f.stem.replace("_", "-"): f for f in METHOD_FILES} | _stems(ROOT / "baselines")
    return _stems(ROOT / "benchmarks" / f"{kind}s")


def summary(kind: str, name: str) -> str:
    """First line of the file's docstring, read without importing it (`list` stays fast)."""
    text = ast.get_docstring(ast.parse(path(kind, name).read_text())) or ""
    return text.split("\n", 1)[0]


def path(kind: str, name: str) -> Path:
    """The file that defines a name; `UserError` naming the nearest one if there is none."""
    found = files(kind).get(name)
    if found is None:
        raise unknown(kind, name, files(kind))
    return found


def module(kind: str, name: str) -> ModuleType:
    """Imports the file that defines a name."""
    relative = path(kind, name).relative_to(ROOT).with_suffix("")
    return importlib.import_module(".".join(relative.parts))
