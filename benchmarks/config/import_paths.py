"""Import paths of optimizers, such as `torch.optim:AdamW`: the class, its settings, and its distribution."""

import difflib
import importlib
import inspect
import itertools
import json
import pkgutil
import sys
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.errors import UserError, first_line, unknown

if TYPE_CHECKING:
    import torch

    from addax.optimizer import Method
    from benchmarks.config.spec import RunSpec

_PLAIN = (bool, int, float, str, type(None))


@cache
def optimizer_class(path: str) -> "type[torch.optim.Optimizer]":
    """Import the optimizer that an import path names.

    Raises:
        UserError: the module or the class does not exist, or the class is not an optimizer whose `step` can
            be called without a closure; the message suggests the closest class.
    """
    import torch

    name, _, attribute = path.partition(":")
    if not attribute.isidentifier() or not all(part.isidentifier() for part in name.split(".")):
        raise UserError(f"method {path!r} is not an import path: write package.module:Class")
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise UserError(f"method {path}: importing {name} failed: {first_line(error)}") from None
        raise _missing(path, error.name) from None
    # A script's `sys.exit()` must not end the program as if it had succeeded.
    except (Exception, SystemExit) as error:
        raise UserError(f"method {path}: importing {name} failed: {first_line(error)}") from error
    cls = getattr(module, attribute, None)
    if cls is None:
        optimizers = [n for n, value in vars(module).items() if _is_optimizer(value)]
        raise unknown(f"optimizer of {name}", attribute, optimizers)
    if not _is_optimizer(cls):
        raise UserError(f"method {path}: {attribute} is not a subclass of torch.optim.Optimizer")
    if cls is torch.optim.Optimizer:
        raise UserError(f"method {path}: Optimizer is the base class of the optimizers: choose one of them")
    from addax.optimizer import Method

    if issubclass(cls, Method):
        raise UserError(
            f"method {path}: {attribute} is a method of this suite: see python -m benchmarks list"
        )
    if all(callable(getattr(cls, name, None)) for name in ("train", "eval")):
        raise UserError(
            f"method {path}: it evaluates other weights than it trains (train(), eval()): use schedule-free, "
            "or write an adapter with evaluation_weights()"
        )
    required = _required(inspect.signature(cls.step))
    if required:
        raise UserError(
            f"method {path}: its step needs {', '.join(required)}, but a run calls step() after one backward "
            "pass: choose an optimizer that takes its gradients from the parameters"
        )
    return cls


def _is_optimizer(value: object) -> bool:
    import torch

    return isinstance(value, type) and issubclass(value, torch.optim.Optimizer)


def _missing(path: str, module: str) -> UserError:
    package = module.rpartition(".")[0]
    if package:
        folders = getattr(sys.modules[package], "__path__", [])
        known = [f"{package}.{found.name}" for found in pkgutil.iter_modules(folders)]
        return UserError(f"method {path}: {unknown('module', module, known)}")
    similar = difflib.get_close_matches(module, metadata.packages_distributions(), n=1, cutoff=0.75)
    hint = (
        f"did you mean {similar[0]!r}?" if similar else "install its package, or run in the module's folder"
    )
    return UserError(f"method {path}: no module {module!r}: {hint}")


def _required(signature: inspect.Signature) -> list[str]:
    """Return the parameters after the first one that have no default."""
    positional = itertools.islice(signature.parameters.values(), 1, None)
    return [
        p.name for p in positional if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]


@cache
def settings_of(path: str) -> Mapping[str, Any]:
    """Return the constructor's arguments after the parameters, with their defaults.

    An argument whose default a row cannot store keeps it, as does one that is called like a field of a run.

    Raises:
        UserError: the constructor takes no learning rate, or requires an argument that a run cannot give.
    """
    from benchmarks.config.spec import field_names

    cls = optimizer_class(path)
    parameters = list(inspect.signature(cls.__init__).parameters.values())[2:]
    found = {}
    for p in parameters:
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            continue
        if p.name in field_names():
            if p.default is p.empty:
                raise UserError(
                    f"method {path} requires {p.name}, which is a field of the run, not a setting"
                )
        elif p.default is p.empty or _storable(p.default):
            found[p.name] = _default(p)
    if "lr" not in found:
        raise UserError(f"method {path}: the constructor takes no lr, so no learning rate can be set")
    if not isinstance(found["lr"], int | float):
        found["lr"] = inspect.Parameter.empty
    return found


def _default(parameter: inspect.Parameter) -> Any:
    """Return the default of an argument; a float if the annotation says so, as in `momentum: float = 0`."""
    value = parameter.default
    if type(value) is int and "float" in str(parameter.annotation):
        return float(value)
    return tuple(value) if isinstance(value, list) else value


@cache
def numbers_of(path: str) -> frozenset[str]:
    """Return the settings that take any number: those like `weight_decay=0`, without an annotation."""
    parameters = inspect.signature(optimizer_class(path).__init__).parameters.values()
    return frozenset(p.name for p in parameters if type(p.default) is int and p.annotation is p.empty)


def _storable(value: object) -> bool:
    """Return whether JSON keeps a value."""
    return type(value) in _PLAIN or (isinstance(value, tuple | list) and all(map(_storable, value)))


@cache
def method_class(path: str) -> "type[Method]":
    """Return the method that adapts an optimizer."""
    from baselines.third_party._adapter import adapter_of

    return adapter_of(optimizer_class(path), path, settings_of(path))


@cache
def documentation(path: str) -> dict[str, str]:
    """Return what the optimizer's docstring says about its arguments, one line each."""
    found: dict[str, str] = {}
    name = None
    for line in inspect.cleandoc(optimizer_class(path).__doc__ or "").splitlines():
        head, colon, text = line.strip().partition(":")
        word = head.partition("(")[0].strip().strip("`*")
        if colon and word in settings_of(path) and word not in found and line != line.lstrip():
            name = word
            found[name] = text.strip()
        elif not line.strip() or not line.startswith(" " * 5):
            name = None
        elif name is not None:
            found[name] = f"{found[name]} {line.strip()}".strip()
    return {key: _without_default(text) for key, text in found.items()}


def _without_default(text: str) -> str:
    return text.partition("(default")[0].strip().removesuffix(".")


def check(spec: "RunSpec") -> None:
    """Check that the optimizer of a spec can be built and, on a CPU, that it can step.

    Raises:
        UserError: the constructor rejects a setting, or a step fails, as it would in the run.
    """
    settings = {k: v for k, v in spec.settings.items() if k in settings_of(spec.method)}
    # A setting may need the device of the run.
    _try(spec.method, json.dumps(settings, sort_keys=True), steps=spec.device == "cpu")


@cache
def _try(path: str, settings: str, steps: bool) -> None:
    """Build an optimizer for a minimal model on the CPU, and take a step."""
    import torch
    from torch import nn

    # The constructor of a layer draws from torch's generator.
    with torch.random.fork_rng([]):
        model = nn.Linear(2, 2, bias=False)
    try:
        method = method_class(path)(model, **json.loads(settings))
    except Exception as error:
        raise UserError(f"method {path}: {first_line(error)}") from error
    if steps:
        try:
            method.step(fo_loss=lambda: model(torch.ones(1, 2)).square().sum())
        except Exception as error:
            raise UserError(f"method {path}: a trial step failed: {first_line(error)}") from error


@cache
def origin(optimizer: str) -> dict[str, str | None]:
    """Return the class at an import path, and the distribution that provides it.

    Returns:
        "class" (the import path), "distribution" and "version" (None if the module is not installed).
    """
    top = optimizer.partition(":")[0].partition(".")[0]
    try:
        found = metadata.distribution(top)
    except metadata.PackageNotFoundError:
        # The distribution has another name than its package. This search takes a second.
        owners = sorted(set(metadata.packages_distributions().get(top, ())))
        found = metadata.distribution(owners[0]) if owners else None
    return {
        "class": optimizer,
        "distribution": None if found is None else found.name,
        "version": None if found is None else found.version,
    }


def source_file(path: str) -> Path | None:
    """Return the file of the module that defines an optimizer; None if a distribution provides it."""
    if origin(path)["distribution"] is not None:
        return None
    file = getattr(sys.modules[optimizer_class(path).__module__], "__file__", None)
    return None if file is None else Path(file)
