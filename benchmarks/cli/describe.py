"""Descriptions of run fields and method settings, read from source files without importing torch.

Fields come from the class body and the docstring of `RunSpec`. Settings come from the constructor of a
method's class, its base classes, and the option dictionaries that the constructor unpacks. The source files
are parsed, not imported. Only an import path such as `torch.optim:AdamW` is imported.
"""

import ast
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks import registry
from benchmarks.config import import_paths
from benchmarks.config.methods import BATCH_ALONE, BATCH_OF_BOTH, methods_where
from benchmarks.config.names import ZERO_SHOT

REQUIRED = object()
# Constructor arguments that are not settings: a run sets them through a field, or not at all.
NO_SETTINGS = ("self", "model", "seed", "params", "process_group")
BATCHES = {
    "zo_loss": ("zo_batch_size", "K0, the number of examples in the zeroth-order batch"),
    "fo_loss": ("fo_batch_size", "K1, the number of examples in the first-order batch"),
}


@dataclass(frozen=True)
class Parameter:
    """A field of a run or a setting of a method.

    Attributes:
        name: Python name, with underscores.
        default: default value, or `REQUIRED`.
        kind: annotation as written in the source, such as "int | None".
        help: one or two sentences for `--help`.
    """

    name: str
    default: Any
    kind: str
    help: str


class NotLiteral(Exception):
    """An expression in the source has a value that is only known after an import."""


@cache
def run_fields() -> dict[str, Parameter]:
    """Return every field of `RunSpec` except `settings`, by name."""
    file = Path(__file__).parent.parent / "config" / "spec.py"
    spec = _classes(file)["RunSpec"]
    docs = sections(ast.get_docstring(spec) or "")
    found = {}
    for line in spec.body:
        if isinstance(line, ast.AnnAssign) and line.target.id != "settings":
            default = REQUIRED if line.value is None else _literal(line.value)
            name = line.target.id
            found[name] = Parameter(name, default, ast.unparse(line.annotation), docs.get(name, ""))
    return found


@cache
def method_settings(name: str) -> dict[str, Parameter]:
    """Return every setting of a method, by name; empty for "zero-shot".

    Raises:
        UserError: the method does not exist, or its file has a syntax error.
    """
    if name == ZERO_SHOT:
        return {}
    if registry.is_import_path(name):
        return {p.name: p for p in _of_import_path(name)}
    file = registry.path("method", name)
    with registry.user_code_errors(file):
        try:
            return {p.name: p for p in _parsed(file)}
        except NotLiteral:
            return {p.name: p for p in _imported(name, file)}


def _imported(name: str, file: Path) -> Iterator[Parameter]:
    """Yield the settings of a method whose defaults only an import can tell."""
    from benchmarks.config.methods import settings_of

    docs: dict[str, str] = {}
    for node in _classes(file).values():
        docs |= _useful(sections(ast.get_docstring(node) or ""))
    docs = {"lr": "learning rate"} | docs | dict(BATCHES.values())
    for key, value in settings_of(name).items():
        default = REQUIRED if value is inspect.Parameter.empty else value
        yield Parameter(key, default, "", docs.get(key, ""))


def _of_import_path(path: str) -> Iterator[Parameter]:
    """Yield the settings of the optimizer at an import path."""
    from benchmarks.config.methods import settings_of

    docs = {"lr": "learning rate"} | import_paths.documentation(path) | dict(BATCHES.values())
    for key, value in settings_of(path).items():
        default = REQUIRED if value is inspect.Parameter.empty else value
        kind = type(value).__name__ if type(value) in (bool, int, float, str) else ""
        yield Parameter(key, default, "float" if key == "lr" else kind, docs.get(key, ""))


def settings_owners(setting: str) -> list[str]:
    """Return the names of the methods that have a setting."""
    return methods_where(lambda method: setting in method_settings(method))


def sections(docstring: str) -> dict[str, str]:
    """Return the entries of a docstring's "Args" and "Attributes" sections by name, each on one line.

    >>> sections("A method.\\n\\nArgs:\\n    lr: learning\\n        rate.\\n    eps, seed: as there.")
    {'lr': 'learning rate', 'eps': 'as there', 'seed': 'as there'}
    """
    found: dict[str, str] = {}
    names: list[str] = []
    inside = False
    for line in docstring.splitlines():
        if line and line[0] != " ":
            inside = line in ("Args:", "Attributes:")
        elif inside and line.strip():
            if line[:5].strip():
                head, _, text = line.strip().partition(":")
                names = [name.strip().lstrip("*") for name in head.split(",")]
                found |= dict.fromkeys(names, text.strip())
            else:
                found |= {name: f"{found[name]} {line.strip()}" for name in names}
    return {name: text.removesuffix(".") for name, text in found.items()}


def _parsed(file: Path) -> Iterator[Parameter]:
    ancestry = _ancestry(file)
    docs: dict[str, str] = {}
    defaults: dict[str, tuple[Any, str]] = {}
    for _, node in ancestry:
        docs = _useful(sections(ast.get_docstring(node) or "")) | docs
    init = next(((f, line) for f, c in ancestry for line in c.body if _is_init(line)), None)
    if init is None:
        raise NotLiteral
    source, function = init
    arguments = function.args
    plain = [*arguments.posonlyargs, *arguments.args]
    with_default = [*[None] * (len(plain) - len(arguments.defaults)), *arguments.defaults]
    for argument, default in [
        *zip(plain, with_default, strict=True),
        *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
    ]:
        value = REQUIRED if default is None or argument.arg in NO_SETTINGS else _literal(default)
        defaults[argument.arg] = (value, ast.unparse(argument.annotation) if argument.annotation else "")
    if arguments.kwarg is not None:
        options, option_docs = _unpacked(source, arguments.kwarg.annotation)
        defaults |= {name: value for name, value in options.items() if name not in defaults}
        docs = _useful(option_docs) | docs
    yield from (Parameter(n, v, k, docs.get(n, "")) for n, (v, k) in defaults.items() if n not in NO_SETTINGS)
    closures = _closures(ancestry)
    sizes = BATCH_OF_BOTH if {"zo_loss", "fo_loss"} <= set(closures) else BATCH_ALONE
    for closure, (name, text) in BATCHES.items():
        if closure in closures:
            yield Parameter(name, sizes[name], "int", text)


def _useful(docs: dict[str, str]) -> dict[str, str]:
    """Return the entries, except those that only refer to another class."""
    return {name: text for name, text in docs.items() if not text.startswith(("as in ", "see "))}


def _is_init(line: ast.stmt) -> bool:
    return isinstance(line, ast.FunctionDef) and line.name == "__init__"


def _ancestry(file: Path) -> list[tuple[Path, ast.ClassDef]]:
    """Return the method's class in a file and its base classes in the repository, nearest first."""
    candidates = [node for node in _classes(file).values() if _assigned(node, "label") is not None]
    if len(candidates) != 1:
        raise NotLiteral
    found, queue = [], [(file, candidates[0])]
    while queue:
        source, node = queue.pop(0)
        found.append((source, node))
        bases = [_find(source, base.id) for base in node.bases if isinstance(base, ast.Name)]
        queue += [base for base in bases if base is not None]
    return found


def _closures(ancestry: list[tuple[Path, ast.ClassDef]]) -> tuple[str, ...]:
    for _, node in ancestry:
        if (value := _assigned(node, "closures")) is not None:
            return _literal(value)
    raise NotLiteral


def _assigned(node: ast.ClassDef | ast.Module, name: str) -> ast.expr | None:
    """Return the expression that a class or module assigns to a name, or None."""
    for line in node.body:
        targets = line.targets if isinstance(line, ast.Assign) else [getattr(line, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            return getattr(line, "value", None)
    return None


def _unpacked(file: Path, annotation: ast.expr | None) -> tuple[dict[str, tuple[Any, str]], dict[str, str]]:
    """Return {name: (default, annotation)} and {name: help} for `**options: Unpack[X]`, X a TypedDict.

    The defaults are in the dictionary that is annotated with X, in the same file as X.
    """
    if not isinstance(annotation, ast.Subscript) or not isinstance(annotation.slice, ast.Name):
        raise NotLiteral
    found = _find(file, annotation.slice.id)
    if found is None:
        raise NotLiteral
    source, node = found
    kinds = {n.target.id: ast.unparse(n.annotation) for n in node.body if isinstance(n, ast.AnnAssign)}
    for line in _tree(source).body:
        is_defaults = isinstance(line, ast.AnnAssign) and isinstance(line.annotation, ast.Name)
        if is_defaults and line.annotation.id == node.name and isinstance(line.value, ast.Dict):
            values = _literal(line.value)
            options = {name: (value, kinds.get(name, "")) for name, value in values.items()}
            return options, sections(ast.get_docstring(node) or "")
    raise NotLiteral


def _find(file: Path, name: str) -> tuple[Path, ast.ClassDef] | None:
    """Return the class that a name refers to in a file; None if it is not defined in this repository."""
    if name in _classes(file):
        return file, _classes(file)[name]
    for node in ast.walk(_tree(file)):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            original = next((a.name for a in node.names if (a.asname or a.name) == name), None)
            path = registry.ROOT.joinpath(*node.module.split("."))
            for source in (path.with_suffix(".py"), path / "__init__.py"):
                if original and source.exists() and source != file:
                    return _find(source, original)
    return None


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        raise NotLiteral from None


def _classes(file: Path) -> dict[str, ast.ClassDef]:
    return {node.name: node for node in _tree(file).body if isinstance(node, ast.ClassDef)}


@cache
def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), str(file))
