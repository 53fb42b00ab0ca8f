"""Folders are the registry: the name of a file is the name on the command line.

A file `benchmarks/tasks/sst2.py` that binds `TASK` is the task `sst2`. The same holds for models (`FAMILY`),
suites (`specs`), studies (`STUDY`), methods (a class), and figures (`draw`). Files whose name begins with `_`
are helpers. A suite that binds `PAPER` has a second name, for its small variant: `<name>-tiny`.
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
# Folders of each kind, besides `METHOD_FILES`.
KINDS = {
    "method": ("baselines",),
    "model": ("benchmarks/models",),
    "task": ("benchmarks/tasks",),
    "suite": ("benchmarks/suites", "benchmarks/suites/papers"),
    "study": ("benchmarks/studies",),
    "figure": ("plots",),
}
# What a file has to bind; a method's class has any name.
BINDS = {"task": "TASK", "model": "FAMILY", "suite": "specs", "study": "STUDY", "figure": "draw"}
# Files of `plots` that draw no figure.
NO_FIGURES = ("render",)
# The ending of the name of a suite's small variant.
TINY = "-tiny"


def _stems(kind: str) -> dict[str, Path]:
    files = [f for folder in KINDS[kind] for f in (ROOT / folder).glob("*.py") if f.stem[0] != "_"]
    if kind == "figure":
        return {f.stem: f for f in sorted(files) if f.stem not in NO_FIGURES}
    return {f.stem.replace("_", "-"): f for f in sorted(files, key=lambda f: f.name)}


@cache
def files(kind: str) -> dict[str, Path]:
    """Return the names of one of `KINDS` and the files that define them."""
    found = _stems(kind)
    if kind == "method":
        return {f.stem.replace("_", "-"): f for f in METHOD_FILES} | found
    if kind == "suite":
        tiny = {name + TINY: file for name, file in found.items() if _binds_paper(file)}
        return dict(sorted((tiny | found).items()))
    return found


def _binds_paper(file: Path) -> bool:
    """Whether a file binds `PAPER`, without importing it; a file that is not Python fails when it is used."""
    try:
        body = ast.parse(file.read_text(encoding="utf-8")).body
    except (OSError, SyntaxError, ValueError):
        return False
    targets = [target for line in body if isinstance(line, ast.Assign) for target in line.targets]
    return any(isinstance(target, ast.Name) and target.id == "PAPER" for target in targets)


def is_tiny(name: str) -> bool:
    """Whether a suite's name means the small variant of another suite."""
    return name.endswith(TINY) and files("suite").get(name) == files("suite").get(name.removesuffix(TINY))


def summary(kind: str, name: str) -> str:
    """Return the first line of a file's docstring, without importing the file."""
    if kind == "suite" and is_tiny(name):
        return f"The runs of {name.removesuffix(TINY)} in small, on built-in models and rows."
    file = path(kind, name)
    with user_code_errors(file):
        text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"), str(file))) or ""
    return text.split("\n", 1)[0]


def path(kind: str, name: str) -> Path:
    """Return the file that defines a name; `UserError` naming the nearest name if there is none."""
    found = files(kind).get(name)
    if found is None:
        raise unknown(kind, name, files(kind))
    return found


def module(kind: str, name: str) -> ModuleType:
    """Import the file that defines a name.

    Raises:
        UserError: no such name; or its file cannot be imported, or does not bind what makes this kind.
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
    """Turn whatever a user's file raises inside into a `UserError` that names the file and the line."""
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
