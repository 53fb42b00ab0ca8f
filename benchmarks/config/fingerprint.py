"""Identify the code and the model files that define a run's numbers.

The code is every module of this repository that the run imports, lazily or not, starting at the files of its
method, task, and model family and at the code of a run. The memory predictor counts only where it
chooses a run's length threshold. The modules are found by reading import statements. Imports
that only type checkers see do not count, nor does a package that looks up files through the registry.
"""

import ast
import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import models, registry, tasks
from benchmarks.config.names import ZERO_SHOT
from benchmarks.errors import UserError
from benchmarks.models import _published

if TYPE_CHECKING:
    from benchmarks.config.spec import RunSpec

# Relative to the repository: the code of a run, and the predictor that chooses L_T for a memory budget.
ENTRY, PREDICTOR = "benchmarks/training/run.py", "benchmarks/memory/search.py"


def source_fingerprint(spec: "RunSpec") -> str:
    """Return 16 hexadecimal digits of a hash of all files that define a run's numbers.

    Within a process, equal names give equal fingerprints: the code that a process runs is what it imported.
    """
    threshold = spec.length_threshold
    uses_predictor = threshold is not None and threshold.memory is not None
    return _fingerprint(spec.method, spec.model, spec.task, uses_predictor)


@cache
def modules_of(*roots: Path) -> list[Path]:
    """Return the files that importing some files of the repository reads, in alphabetical order.

    Args:
        roots: files below `registry.ROOT`; they are part of the result.
    """
    reached: set[Path] = set()
    names = [root.relative_to(registry.ROOT).with_suffix("").parts for root in roots]
    new = {file for parts in names for file in _files_of(parts)}
    while new:
        reached |= new
        new = {found for file in new for found in _imports(file)} - reached
    return sorted(reached)


@cache
def _fingerprint(method: str, model: str, task: str, uses_predictor: bool) -> str:
    entries = (ENTRY, PREDICTOR) if uses_predictor else (ENTRY,)
    roots = [
        *(registry.ROOT / entry for entry in entries),
        registry.path("task", task),
        *_family_files(model),
    ]
    if method != ZERO_SHOT:
        roots.append(registry.path("method", method))
    if rows_of := tasks.load(task).rows_of:
        roots.append(registry.path("task", rows_of))
    files = modules_of(*sorted(roots))
    built_in = model in models.builtin()
    if built_in:
        files = files + sorted((models.WEIGHTS / model).glob("*"))
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(registry.ROOT).as_posix()} {_digest(file)}\0".encode())
    # The files of a local model can be too large to read whole each time.
    for file in [] if built_in else sorted(Path(model).expanduser().glob("*")):
        digest.update(f"{file.name} {file.stat().st_size} {file.stat().st_mtime_ns}\0".encode())
    return digest.hexdigest()[:16]


def _family_files(model: str) -> list[Path]:
    """Return the file of a model's family, which a hub model's configuration names."""
    if model in models.builtin():
        family = models.builtin()[model]
    elif (config := Path(model).expanduser() / "config.json").is_file():
        family = models.family_of(json.loads(config.read_text())["model_type"], model)
    elif model in _published.names():
        family = models.family_of(_published.config(model).model_type, model)
    else:
        try:
            family = models.family_of(models.load_config(model).model_type, model)
        except UserError:
            # The model cannot be loaded either, so no finished row depends on this answer.
            return list(registry.files("model").values())
    return [registry.path("model", name) for name, known in models.families().items() if known is family]


@cache
def _imports(file: Path) -> frozenset[Path]:
    """Return the files of the repository that a file imports itself."""
    package = file.relative_to(registry.ROOT).parent.parts
    found: set[Path] = set()
    for node in _executed(ast.parse(file.read_bytes(), str(file))):
        if isinstance(node, ast.Import):
            found |= {path for alias in node.names for path in _files_of(alias.name.split("."))}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = (*base, *(node.module.split(".") if node.module else ()))
            found |= set(_files_of(module))
            # A name that is imported from a package may be one of its modules.
            found |= {path for alias in node.names for path in _files_of((*module, alias.name))}
    return frozenset(found)


def _executed(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a file but for those below `if TYPE_CHECKING:`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            yield from (inner for branch in node.orelse for inner in (branch, *_executed(branch)))
        else:
            yield node
            yield from _executed(node)


def _files_of(parts: Sequence[str]) -> list[Path]:
    """Return the files that importing a dotted name reads: its own and those of its packages."""
    module = registry.ROOT.joinpath(*parts)
    packages = [registry.ROOT.joinpath(*parts[:count], "__init__.py") for count in range(1, len(parts) + 1)]
    return [file for file in (*packages, module.with_suffix(".py")) if file.is_file()]


@cache
def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
