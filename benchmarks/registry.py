"""Registry of extensions: folders are scanned, and a file's name is its command-line name.

For example, the file `benchmarks/tasks/sst2.py` binds `TASK`, which defines the task `sst2`. Models bind
`FAMILY`, suites `specs`, studies `STUDY`, and figures `draw`. A method file defines one class. Files whose
names begin with `_` are helpers. A suite that binds `PAPER` also has a small variant, `<name>-tiny`. The
suites of a comparison are not in these folders but next to their rows, see `comparison_file`.

Optimizers of other packages are methods, too. They have a file in `baselines/third_party`, or an import path
such as `torch.optim:AdamW` as their name.
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
RUNS = ROOT / "results" / "runs"
METHOD_FILES = (ROOT / "addax" / "addax.py",)
# The folders that contain the files of each kind. `METHOD_FILES` lists methods outside these folders.
KINDS = {
    "method": ("baselines",),
    "optimizer": ("baselines/third_party",),
    "model": ("benchmarks/models",),
    "task": ("benchmarks/tasks",),
    "suite": ("benchmarks/suites", "benchmarks/suites/papers"),
    "study": ("benchmarks/studies",),
    "figure": ("plots",),
}
# The name that a file of each kind must bind. The class of a method may have any name.
BINDS = {"task": "TASK", "model": "FAMILY", "suite": "specs", "study": "STUDY", "figure": "draw"}
# The adapter of the optimizers that an import path names.
ADAPTER = Path("baselines/third_party/_adapter.py")
# Public modules of `plots` that are not figures.
NO_FIGURES = ("render",)
# The suffix that names a suite's small variant.
TINY = "-tiny"
# The suffix of a file that describes a task without Python. Its path is the name of the task.
DESCRIBED = ".toml"


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
    found = files("suite")
    return name in found and name.endswith(TINY) and found[name] == found.get(name.removesuffix(TINY))


def comparison_file(name: str) -> Path:
    """Return the file that defines a suite of a comparison, whether or not it exists."""
    return RUNS / name / "suite.py"


def is_suite(name: str) -> bool:
    """Return whether a suite has this name, including the suites of comparisons."""
    return name in files("suite") or comparison_file(name).is_file()


def is_described(name: str) -> bool:
    """Return whether the name of a task is the path of a TOML file."""
    return name.endswith(DESCRIBED)


def stem(name: str) -> str:
    """Return the name of a task's folder of rows: of a TOML file, its name without the suffix.

    >>> stem("sst2"), stem("tasks/reviews.toml")
    ('sst2', 'reviews')
    """
    return Path(name).stem if is_described(name) else name


def _described(name: str) -> Path:
    """Return the file of a task without Python: relative to the current folder, or else to the repository."""
    file = Path(name).expanduser()
    if file.is_file() or not (ROOT / file).is_file():
        return file
    return ROOT / file


def summary(kind: str, name: str) -> str:
    """Return the first line of a file's docstring, without importing the file."""
    if kind == "suite" and is_tiny(name):
        return f"A small version of {name.removesuffix(TINY)} on built-in models and rows."
    file = path(kind, name)
    with user_code_errors(file):
        text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"), str(file))) or ""
    return text.split("\n", 1)[0]


def is_import_path(method: str) -> bool:
    """Return whether the name of a method has the form of an import path, "module:Class"."""
    return ":" in method


def path(kind: str, name: str) -> Path:
    """Return the file that defines a name; for the import path of an optimizer, the file that adapts it.

    Raises:
        UserError: the name does not exist; the message suggests the closest one.
    """
    if kind == "task" and is_described(name):
        file = _described(name)
        if not file.is_file():
            raise UserError(f"no such task file: {name}")
        return file
    known = files(kind)
    if kind == "method":
        if is_import_path(name):
            return ROOT / ADAPTER
        known = known | files("optimizer")
    if name not in known:
        if kind == "suite" and comparison_file(name).is_file():
            return comparison_file(name)
        raise unknown(kind, name, known)
    return known[name]


def module(kind: str, name: str) -> ModuleType:
    """Import the file that defines a name.

    Raises:
        UserError: the name does not exist, its file cannot be imported, or the file does not bind the name
            that `BINDS` requires.
    """
    file = path(kind, name)
    with user_code_errors(file):
        if kind == "suite" and name not in files(kind):
            found = _module_of(file)
        else:
            found = importlib.import_module(".".join(file.relative_to(ROOT).with_suffix("").parts))
    required = BINDS.get(kind)
    if required and not hasattr(found, required):
        raise UserError(f"{file}: does not define {required}, which every {kind} file must define")
    return found


def _module_of(file: Path) -> ModuleType:
    """Execute a file outside the packages. It may change, so the module is not kept."""
    module = ModuleType(file.parent.name)
    module.__file__ = str(file)
    exec(compile(file.read_text(encoding="utf-8"), file, "exec"), vars(module))
    return module


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
