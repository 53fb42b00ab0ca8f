"""What the files of an extension read: modules outside the repository, installed packages, data, variables.

Nothing is executed or patched: the search parses source files, and follows

- import statements, and calls such as `import_module("helpers")`, to modules anywhere on `sys.path`;
- modules that an extension holds in its global variables, however it imported them;
- texts that name existing files and folders, as in `open("words.txt")` and `HERE / f"{name}.json"`;
- the names of environment variables.

An audit hook for opened files would stay in the process, cost time in every training step, and miss a file
that a helper has cached. What a search of the source cannot see (a path that is computed, a database, a
server) is still part of the data fingerprint as far as it changes a text, see `benchmarks.data.splits`.
"""

import ast
import importlib.util
import os
import sys
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType

from benchmarks import registry
from benchmarks.config import paths

INSTALLED = ("site-packages", "dist-packages")
IMPORTERS = ("import_module", "__import__", "run_module", "reload")
ENVIRONMENT = ("environ", "environ.get", "getenv", "environ.setdefault", "environb")


@dataclass
class Reads:
    """What some source files read.

    Attributes:
        sources: Python files and compiled modules that are not installed.
        packages: top-level names of installed packages.
        data: other files.
        variables: names of environment variables.
    """

    sources: set[Path] = field(default_factory=set)
    packages: set[str] = field(default_factory=set)
    data: set[Path] = field(default_factory=set)
    variables: set[str] = field(default_factory=set)


def reads_of(files: Iterable[Path], core: frozenset[Path], extensions: Iterable[Path]) -> Reads:
    """Return what source files read, and what the modules that they import read.

    Args:
        files: Python files; they are part of the result.
        core: Python files that are not followed, because they count elsewhere.
        extensions: the files of `files` whose modules are loaded before every run. Only their global
            variables count: whether another module is loaded can differ between two processes.
    """
    found, known = Reads(), _resolved(core)
    held = set().union(*map(_held, extensions))
    new = set(files) | {file for file in held if file.resolve() not in known}
    while new:
        found.sources |= new
        imported: set[Path] = set()
        for file in sorted(new):
            if file.suffix == ".py":
                modules, packages, named, variables = _of_file(file)
                imported |= modules | {path for path in named if path.suffix == ".py"}
                found.packages |= packages
                found.data |= {path for path in named if path.suffix != ".py"}
                found.variables |= variables
        new = {file for file in imported - found.sources if file.resolve() not in known}
    return found


@cache
def _resolved(files: frozenset[Path]) -> frozenset[Path]:
    return frozenset(file.resolve() for file in files)


@cache
def packages_of(files: frozenset[Path]) -> Set[str]:
    """Return the top-level names of the installed packages that source files import themselves."""
    return {name for file in files for name in _of_file(file)[1]}


@cache
def _of_file(file: Path) -> tuple[Set[Path], Set[str], Set[Path], Set[str]]:
    """Return what one file reads itself: modules, installed packages, files that it names, and variables."""
    tree = ast.parse(file.read_bytes(), str(file))
    packages: set[str] = set()
    modules = {module for name in set(_imported(tree, file)) for module in _module_files(name, packages)}
    return modules, packages, paths.named(tree, file), set(_variables(tree))


def _imported(tree: ast.AST, file: Path) -> Iterator[str | Path]:
    """Yield the names that a file imports; a relative import gives a path without suffix."""
    for node in executed(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names = [*filter(None, (node.module or "").split("."))]
            # A name that is imported from a package may be one of its modules.
            for more in ([], *([alias.name] for alias in node.names)):
                if node.level:
                    yield file.parents[node.level - 1].joinpath(*names, *more)
                else:
                    yield ".".join([*names, *more])
        elif isinstance(node, ast.Call) and _last_name(node.func) in IMPORTERS and node.args:
            name = node.args[0].value if isinstance(node.args[0], ast.Constant) else None
            if isinstance(name, str) and name.startswith("."):
                level = len(name) - len(name.lstrip("."))
                yield file.parents[level - 1].joinpath(*name.lstrip(".").split("."))
            elif isinstance(name, str):
                yield name


def executed(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a file, except those under `if TYPE_CHECKING:`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            yield from (inner for branch in node.orelse for inner in (branch, *executed(branch)))
        else:
            yield node
            yield from executed(node)


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _module_files(name: str | Path, packages: set[str]) -> set[Path]:
    """Return the files that an import reads; add an installed package to `packages`."""
    if isinstance(name, Path):
        return _existing(name.parent, (name.name,))
    top, *rest = name.split(".")
    if not top or top in sys.stdlib_module_names:
        return set()
    if found := _existing(registry.ROOT, (top, *rest)):
        return found
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return set()
    if spec is None:
        return set()
    places = [Path(place) for place in spec.submodule_search_locations or ()]
    origin = Path(spec.origin) if spec.origin and spec.has_location else None
    if any(_is_installed(place) for place in (*places, *([origin] if origin else []))):
        packages.add(top)
        return set()
    found = set() if origin is None else {origin}
    for place in places:
        found |= _existing(place.parent, (place.name, *rest))
    return found


def _existing(base: Path, parts: Iterable[str]) -> set[Path]:
    """Return the files that an import of a dotted name reads below a folder."""
    parts = tuple(parts)
    inits = [base.joinpath(*parts[:count], "__init__.py") for count in range(1, len(parts) + 1)]
    module = base.joinpath(*parts)
    compiled = module.parent.glob(f"{module.name}.*.so") if module.parent.is_dir() else ()
    return {file for file in (*inits, module.with_name(f"{module.name}.py"), *compiled) if file.is_file()}


@cache
def _held(file: Path) -> set[Path]:
    """Return the files of the modules that define the global variables of a loaded file."""
    module = next((m for m in list(sys.modules.values()) if getattr(m, "__file__", None) == str(file)), None)
    if module is None:
        return set()
    owners = [v if isinstance(v, ModuleType) else _module_of(v) for v in list(vars(module).values())]
    files = {Path(name) for owner in owners if isinstance(name := getattr(owner, "__file__", None), str)}
    return {file for file in files if file.suffix == ".py" and file.is_file() and not _is_installed(file)}


def _module_of(value: object) -> ModuleType | None:
    if isinstance(value, type) or callable(value):
        name = getattr(value, "__module__", None)
        return sys.modules.get(name) if isinstance(name, str) else None
    return None


def _is_installed(file: Path) -> bool:
    return any(part in INSTALLED for part in file.parts) or file.is_relative_to(Path(os.__file__).parent)


def _variables(tree: ast.AST) -> Iterator[str]:
    """Yield the names of the environment variables that a file reads."""
    for node in ast.walk(tree):
        name: ast.expr | None = None
        if isinstance(node, ast.Subscript):
            name, owner = node.slice, node.value
        elif isinstance(node, ast.Call) and node.args:
            name, owner = node.args[0], node.func
        elif isinstance(node, ast.Compare) and len(node.comparators) == 1:
            name, owner = node.left, node.comparators[0]
        is_text = isinstance(name, ast.Constant) and isinstance(name.value, str)
        if is_text and ast.unparse(owner).removeprefix("os.") in ENVIRONMENT:
            yield name.value
