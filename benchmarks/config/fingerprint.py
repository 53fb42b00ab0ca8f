"""Fingerprints: hashes of the code and the model files that determine the numbers of a run or a study.

A run's fingerprint covers every module of this repository that the run imports, including lazy imports. The
search starts at the training code and at the files of the run's method, task, and model family, and it
follows import statements. It ignores imports for type checkers and files that are only found through the
registry. The memory predictor counts only if it chooses the run's length threshold. The fused kernels count
only if the run is on a GPU. A model's own code counts if the run trusts it. Comments, docstrings, and blank
lines never count.

The files of the method, the task, and the model family may be a user's. For them and for the modules that
only they import, the fingerprint also covers modules outside the repository, data files, environment
variables, and the versions of other packages, see `benchmarks.config.reads`. An optimizer of another package
counts with its distribution's version, or if it has none, with its source.
"""

import ast
import hashlib
import io
import os
import tokenize
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import models, registry, tasks
from benchmarks.config import import_paths
from benchmarks.config.methods import identity_of
from benchmarks.config.names import ZERO_SHOT
from benchmarks.config.reads import executed, packages_of, reads_of
from benchmarks.errors import UserError
from benchmarks.hub import names as hub_names
from benchmarks.models import _adapters, _published
from benchmarks.models._generic import code_files
from benchmarks.tasks import _described

if TYPE_CHECKING:
    from benchmarks.config.spec import RunSpec

# The training code, and the predictor that chooses L_T for a memory budget; relative to the repository.
ENTRY, PREDICTOR = "benchmarks/training/run.py", "benchmarks/memory/search.py"
# Files and folders that a run on a CPU may import but never calls.
GPU_ONLY = ("addax/fused.py", "addax/fused_update.py", "addax/kernels/")
# Packages that store or show the rows of a study but do not affect its numbers.
PRESENTATION = ("benchmarks/results/", "benchmarks/report/", "benchmarks/cli/", "plots/")
_BLANK = frozenset({tokenize.ENCODING, tokenize.COMMENT, tokenize.NL, tokenize.INDENT, tokenize.DEDENT})


def source_fingerprint(spec: "RunSpec") -> str:
    """Return 16 hexadecimal digits of a hash of all files that determine a run's numbers.

    Within a process, the result depends only on the names of the method, model, and task, and on the kind of
    device. Later changes to the files do not matter, because the process has already imported them.
    """
    threshold = spec.length_threshold
    uses_predictor = threshold is not None and threshold.memory is not None
    on_cpu = spec.device == "cpu"
    return _fingerprint(spec.method, spec.model, spec.task, uses_predictor, spec.trust_remote_code, on_cpu)


@cache
def study_fingerprint(name: str) -> str:
    """Return 16 hexadecimal digits of a hash of the code that determines the numbers of a study.

    Args:
        name: command-line name of the study.
    """
    hidden = tuple(str(registry.ROOT / folder) for folder in PRESENTATION)
    return _hash(f for f in modules_of(registry.path("study", name)) if not str(f).startswith(hidden))[:16]


@cache
def modules_of(*roots: Path) -> list[Path]:
    """Return all files of the repository that an import of the given files reads, in alphabetical order.

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
def _fingerprint(
    method: str,
    model: str,
    task: str,
    uses_predictor: bool,
    trust_remote_code: bool = False,
    on_cpu: bool = True,
) -> str:
    entries = (ENTRY, PREDICTOR) if uses_predictor else (ENTRY,)
    extensions = _family_files(model, trust_remote_code)
    if not registry.is_described(task):
        extensions.append(registry.path("task", task))
    if method != ZERO_SHOT:
        extensions.append(registry.path("method", method))
    if rows_of := tasks.load(task).rows_of:
        tasks.load(rows_of)
        extensions.append(registry.path("task", rows_of))
    core = modules_of(*(registry.ROOT / entry for entry in entries))
    files = modules_of(*sorted(registry.ROOT / entry for entry in entries), *sorted(extensions))
    source = import_paths.source_file(method) if registry.is_import_path(method) else None
    more = list(_more(files, frozenset(core), [*extensions, *([source] if source else [])]))
    if identity := identity_of(method):
        more.append(identity)
    if registry.is_described(task):
        more.append(f"task {_described.content(registry.path('task', task))}")
    # An adapter folder's numbers also depend on its base model.
    for part in filter(None, (model, _adapters.base_of(model))):
        if part in models.builtin():
            files = files + sorted((models.WEIGHTS / part).glob("*"))
            continue
        # The files of a local model can be too large to hash their content each time.
        local = sorted(Path(part).expanduser().glob("*"))
        more += [f"{f.name} {f.stat().st_size} {f.stat().st_mtime_ns}" for f in local]
        if trust_remote_code:
            more += [f"{file.name} {_digest(file)}" for file in _model_code(part)]
    unused = tuple(str(registry.ROOT / name) for name in GPU_ONLY) if on_cpu else ()
    return _hash((f for f in files if not str(f).startswith(unused)), more)[:16]


def _more(files: Sequence[Path], core: frozenset[Path], extensions: Sequence[Path]) -> Iterator[str]:
    """Yield what a run reads beyond the modules of the repository, as text.

    Args:
        files: the modules of the repository that the run imports.
        core: those that every run imports.
        extensions: the files of the run's method, task, and model family; they may be outside the repository.
    """
    outside = [file for file in extensions if file not in files]
    read = reads_of([*(file for file in files if file not in core), *outside], core, extensions)
    # The names of folders are left out, because they differ between machines.
    yield from sorted(f"{file.name} {_digest(file)}" for file in (read.sources | read.data) - {*files})
    yield from (f"{name} {_version(name)}" for name in sorted(read.packages - packages_of(core)))
    yield from (f"{name} {os.environ.get(name)}" for name in sorted(read.variables))


@cache
def _version(package: str) -> str:
    """Return the versions of the distributions that install a package; empty if there is none."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        # The distribution has another name than its package. This search takes a second.
        owners = sorted(set(metadata.packages_distributions().get(package, ())))
        return ", ".join(f"{owner} {metadata.version(owner)}" for owner in owners)


def _hash(files: Iterable[Path], more: Iterable[str] = ()) -> str:
    """Return the hash of the names and contents of some files of the repository, and of additional text."""
    digest = hashlib.sha256()
    for line in (*(f"{f.relative_to(registry.ROOT).as_posix()} {_digest(f)}" for f in files), *more):
        digest.update(f"{line}\0".encode())
    return digest.hexdigest()


def _family_files(model: str, trust_remote_code: bool = False) -> list[Path]:
    """Return the file of a model's family, if it has one. A hub model's configuration tells its family."""
    model = _adapters.base_of(model) or model
    if (repo := hub_names.unpinned(model)) in _published.names():
        family = models.family_of(_published.config(repo).model_type, model)
    elif (family := models.known_family(model, trust_remote_code)) is None:
        try:
            config = models.load_config(model, trust_remote_code)
        except UserError:
            # The model cannot be loaded either, so no finished row depends on this result.
            return list(registry.files("model").values())
        family = models.family_of(config.model_type, model, config)
    return [registry.path("model", name) for name, known in models.families().items() if known is family]


def _model_code(model: str) -> list[Path]:
    """Return the Python files of a trusted model."""
    folder = Path(model).expanduser()
    if folder.is_dir():
        return sorted(folder.rglob("*.py"))
    try:
        return code_files(models.load_config(model, True))
    except (UserError, OSError):
        # The model cannot be loaded either, so no finished row depends on this result.
        return []


@cache
def _imports(file: Path) -> frozenset[Path]:
    """Return the files of the repository that a file imports directly."""
    package = file.relative_to(registry.ROOT).parent.parts
    found: set[Path] = set()
    for node in executed(ast.parse(file.read_bytes(), str(file))):
        if isinstance(node, ast.Import):
            found |= {path for alias in node.names for path in _files_of(alias.name.split("."))}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = (*base, *(node.module.split(".") if node.module else ()))
            found |= set(_files_of(module))
            # A name that is imported from a package may be one of its modules.
            found |= {path for alias in node.names for path in _files_of((*module, alias.name))}
    return frozenset(found)


def _files_of(parts: Sequence[str]) -> list[Path]:
    """Return the files that an import of a dotted name reads: the module and its parent packages."""
    module = registry.ROOT.joinpath(*parts)
    packages = [registry.ROOT.joinpath(*parts[:count], "__init__.py") for count in range(1, len(parts) + 1)]
    return [file for file in (*packages, module.with_suffix(".py")) if file.is_file()]


@cache
def _digest(file: Path) -> str:
    content = file.read_bytes()
    return hashlib.sha256(code_of(content).encode() if file.suffix == ".py" else content).hexdigest()


def code_of(source: bytes) -> str:
    """Return Python source code without comments, docstrings, and blank lines.

    The remaining text is copied, not regenerated by `ast.unparse`, so every Python version returns the same
    text.

    >>> code_of(b"'A module.'\\n\\nx = 1  # one\\n")
    'x = 1'
    """
    encoding, _ = tokenize.detect_encoding(io.BytesIO(source).readline)
    rows = source.decode(encoding).splitlines(keepends=True)
    statements, statement = [], []
    for token in tokenize.tokenize(io.BytesIO(source).readline):
        if token.type in (tokenize.NEWLINE, tokenize.ENDMARKER):
            # A statement that consists only of a string is a docstring.
            if any(t.type != tokenize.STRING for t in statement):
                statements.append(_text(statement, rows))
            statement = []
        elif token.type not in _BLANK:
            statement.append(token)
    return "\n".join(statements)


def _text(tokens: Sequence[tokenize.TokenInfo], rows: Sequence[str]) -> str:
    """Return the text of a statement, with its indentation and without the comments between its tokens."""
    parts, (row, column) = [], (tokens[0].start[0], 0)
    for token in tokens:
        if token.start[0] != row:
            parts.append("\n")
            row, column = token.start[0], 0
        parts.append(rows[row - 1][column : token.start[1]])
        lines = rows[token.start[0] - 1 : token.end[0]]
        if len(lines) == 1:
            parts.append(lines[0][token.start[1] : token.end[1]])
        else:
            parts += [lines[0][token.start[1] :], *lines[1:-1], lines[-1][: token.end[1]]]
        row, column = token.end
    return "".join(parts)
