"""Folders are the registry: a name on the command line is a file's name, no table is kept.

A file `benchmarks/tasks/sst2.py` that binds `TASK` is the task `sst2`; the same holds for models
(`FAMILY`), suites (`specs`) and methods (a class). Files whose name begins with `_` are helpers. The file of
a suite that binds `PAPER` has a second name, that of the suite's tiny twin.
"""

import ast
import importlib
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType

from benchmarks.errors import UserError, unknown

ROOT = Path(__file__).resolve().parent.parent
METHOD_FILES = (ROOT / "addax" / "addax.py",)
# What a file has to bind; a method's class has any name.
BINDS = {"task": "TASK", "model": "FAMILY", "suite": "specs", "study": "STUDY"}
# Kinds whose folder in `benchmarks/` has another name than the kind with an s.
FOLDERS = {"study": "studies"}
# What a suite's name is followed by in that of its twin.
TWIN = "-tiny"


def _stems(folder: Path) -> dict[str, Path]:
    return {f.stem.replace("_", "-"): f for f in sorted(folder.glob("*.py")) if f.stem[0] != "_"}


@cache
def files(kind: str) -> dict[str, Path]:
    """Names of one kind ("method", "task", "model", "suite") and the files that define them."""
    if kind == "method":
        return {f.stem.replace("_", "-"): f for f in METHOD_FILES} | _stems(ROOT / "baselines")
    found = _stems(ROOT / "benchmarks" / FOLDERS.get(kind, f"{kind}s"))
    if kind == "suite":
        twins = {name + TWIN: file for name, file in found.items() if _binds_paper(file)}
        return dict(sorted((twins | found).items()))
    return found


def _binds_paper(file: Path) -> bool:
    """Whether a file binds `PAPER`, without importing it; one that is no Python is told of when used."""
    try:
        body = ast.parse(file.read_text(encoding="utf-8")).body
    except (OSError, SyntaxError, ValueError):
        return False
    targets = [target for line in body if isinstance(line, ast.Assign) for target in line.targets]
    return any(isinstance(target, ast.Name) and target.id == "PAPER" for target in targets)


def is_twin(name: str) -> bool:
    """Whether a suite's name is that of another suite's tiny twin."""
    return name.endswith(TWIN) and files("suite").get(name) == files("suite").get(name.removesuffix(TWIN))


def summary(kind: str, name: str) -> str:
    """First line of the file's docstring, read without importing it (`list` stays fast)."""
    if kind == "suite" and is_twin(name):
        return f"The runs of {name.removesuffix(TWIN)} in small, on built-in models and rows."
    file = path(kind, name)
    with user_code_errors(file):
        text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"), str(file))) or ""
    return text.split("\n", 1)[0]


def path(kind: str, name: str) -> Path:
    """The file that defines a name; `UserError` naming the nearest one if there is none."""
    found = files(kind).get(name)
    if found is None:
        raise unknown(kind, name, files(kind))
    return found


def module(kind: str, name: str) -> ModuleType:
    """Imports the file that defines a name.

    Raises:
        UserError: no such name; or its file cannot be imported, or binds nothing of this kind.
    """
    file = path(kind, name)
    with user_code_errors(file):
        found = importlib.import_module(".".join(file.relative_to(ROOT).with_suffix("").parts))
    wanted = BINDS.get(kind)
    if wanted and not hasattr(found, wanted):
        raise UserError(f"{file}: binds no {wanted}, which makes a file a {kind}")
    return found


@contextmanager
def user_code_errors(file: Path) -> Iterator[None]:
    """Whatever a user's file raises inside is one `UserError` that names it and the line to blame."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{file}: {error}") from error
    except Exception as error:
        lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if Path(f.filename) == file]
        if isinstance(error, SyntaxError) and error.filename == str(file):
            lines.append(error.lineno)
        at = f", line {lines[-1]}" if lines else ""
        said = (str(error).splitlines() or ["no message"])[0]
        raise UserError(f"{file}{at}: {type(error).__name__}: {said}") from error
