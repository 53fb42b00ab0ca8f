"""Registry of extensions: folders are scanned, and a file's name is its command-line name.

For example, the file `benchmarks/tasks/sst2.py` binds `TASK`, which defines the task `sst2`. Models bind
`FAMILY`, suites `specs`, studies `STUDY`, and figures `draw`. A method file defines one class. Files whose
names begin with `_` are helpers. A suite that binds `PAPER` also has a small variant, `<name>-tiny`.
"""

import ast
import importlib
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType

from benchmarks.errors import UserError, first_line, unknown

ROOT = Path(__file__).resolve().parent.parent
METHOD_FILES = (ROOT / "addax" / "addax.py",)
# The folders that contain the files of each kind. `METHOD_FILES` lists methods outside these folders.
KINDS = {
    "method": ("baselines",),
    "model": ("benchmarks/models",),
    "task": ("benchmarks/tasks",),
    "suite": ("benchmarks/suites", "benchmarks/suites/papers"),
    "study": ("benchmarks/studies",),
    "figure": ("plots",),
}
# The name that a file of each kind must bind. The class of a method may have any name.
BINDS = {"task": "TASK", "model": "FAMILY", "suite": "specs", "study": "STUDY", "figure": "draw"}
# Public modules of `plots` that are not figures.
NO_FIGURES = ("render",)
# The suffix that names a suite's small variant.
TINY = "-tiny"


def _stems(kind: str) -> dict[str, Path]:
    files = [f for folder in KINDS[kind] for f in (ROOT / folder).glob("*.py") if f.stem[0] != "_"]
    if kind == "figure":
        return {f.stem: f for f in sorted(files) if f.stem not in NO_FIGURES}
    return {f.stem.replace("_", "-"): f for f in sorted(files, key=lambda f: f.name)}


@cache
def files(kind: str) -> dict[str, Path]:
    """Return the file that defines each name of a kind, which is one of `KINDS`."""
    found = _stems(kind)
    if kind == "method":
        return {f.stem.replace("_", "-"): f for f in METHOD_FILES} | found
    if kind == "suite":
        tiny = {name + TINY: file for name, file in found.items() if _binds_paper(file)}
        return dict(sorted((tiny | found).items()))
    return found


def _binds_paper(file: Path) -> bool:
    """Return whether a file binds `PAPER`, without importing it.

    A file with a syntax error returns False here. The error is reported when the file is used.
    """
    try:
        body = ast.parse(file.read_text(encoding="utf-8")).body
    except (OSError, SyntaxError, ValueError):
        return False
    targets = [target for line in body if isinstance(line, ast.Assign) for target in line.targets]
    return any(isinstance(target, ast.Name) and target.id == "PAPER" for target in targets)


def is_tiny(name: str) -> bool:
    """Return whether a suite's name denotes the small variant of another suite."""
    return name.endswith(TINY) and files("suite").get(name) == files("suite").get(name.removesuffix(TINY))


def summary(kind: str, name: str) -> str:
    """Return the first line of a file's docstring, without importing the file."""
    if kind == "suite" and is_tiny(name):
        return f"A small version of {name.removesuffix(TINY)} on built-in models and rows."
    file = path(kind, name)
    with user_code_errors(file):
        text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"), str(file))) or ""
    return text.split("\n", 1)[0]


def path(kind: str, name: str) -> Path:
    """Return the file that defines a name.

    Raises:
        UserError: the name does not exist; the message suggests the closest one.
    """
    found = files(kind).get(name)
    if found is None:
        raise unknown(kind, name, files(kind))
    return found


def module(kind: str, name: str) -> ModuleType:
    """Import the file that defines a name.

    Raises:
        UserError: the name does not exist, its file cannot be imported, or the file does not bind the name
            that `BINDS` requires.
    """
    file = path(kind, name)
    with user_code_errors(file):
        found = importlib.import_module(".".join(file.relative_to(ROOT).with_suffix("").parts))
    required = BINDS.get(kind)
    if required and not hasattr(found, required):
        raise UserError(f"{file}: does not define {required}, which every {kind} file must define")
    return found


@contextmanager
def user_code_errors(file: Path) -> Iterator[None]:
    """Convert any exception in the block into a `UserError` that names the user's file and the line."""
    try:
        yield
    except UserError as error:
        if str(error).startswith(str(file)):
            raise
        raise UserError(f"{file}: {error}") from error
    # A script's `sys.exit()` must not end the program as if it had succeeded.
    except (Exception, SystemExit) as error:
        raise UserError(f"{location(error, file)}: {first_line(error)}") from error


def location(error: BaseException, file: Path) -> str:
    """Return a file, and the last of its lines that an exception passed through, if any."""
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if Path(f.filename) == file]
    if isinstance(error, SyntaxError) and error.filename == str(file):
        lines.append(error.lineno)
    return f"{file}, line {lines[-1]}" if lines else str(file)
