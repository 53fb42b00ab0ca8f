"""Methods by name: their settings, the defaults, and the optimizers built from them."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

from benchmarks import registry
from benchmarks.config import import_paths
from benchmarks.config.names import ZERO_SHOT
from benchmarks.errors import UserError, unknown

if TYPE_CHECKING:
    from torch import nn

    from addax.optimizer import Method
    from benchmarks.config.spec import RunSpec

# Default batch sizes: K0 and K1 of methods with both batches, and the batch size of methods with one batch.
BATCH_OF_BOTH = {"zo_batch_size": 6, "fo_batch_size": 4}
BATCH_ALONE = {"zo_batch_size": 16, "fo_batch_size": 8}


@cache
def method_class(name: str) -> "type[Method]":
    """Return the optimizer class that a method's file defines, or that adapts the class at an import path."""
    if registry.is_import_path(name):
        return import_paths.method_class(name)
    from addax.optimizer import Method

    module = registry.module("method", name)
    classes = [
        c
        for c in vars(module).values()
        if inspect.isclass(c) and issubclass(c, Method) and c.__module__ == module.__name__
    ]
    file = registry.path("method", name)
    if len(classes) != 1:
        found = f" ({', '.join(c.__name__ for c in classes)})" if classes else ""
        raise UserError(f"{file}: must define exactly one method class, not {len(classes)}{found}")
    for attribute in ("label", "closures"):
        if not hasattr(classes[0], attribute):
            raise UserError(f"{file}: class {classes[0].__name__} must define {attribute}")
    return classes[0]


@cache
def settings_of(method: str) -> dict[str, Any]:
    """Return the default of every setting of a method; `inspect.Parameter.empty` for lr, which has none."""
    if method == ZERO_SHOT:
        return {}
    cls = method_class(method)
    excluded = ("seed", "params", "process_group")
    known = {name: default for name, default in cls.arguments().items() if name not in excluded}
    both = takes_both_batches(method)
    for loss, key in (("zo_loss", "zo_batch_size"), ("fo_loss", "fo_batch_size")):
        if loss in cls.closures:
            known[key] = (BATCH_OF_BOTH if both else BATCH_ALONE)[key]
    return known


def origin_of(method: str) -> dict[str, str | None] | None:
    """Return the class of another package that a method adapts, and the distribution that provides it.

    Return None for the methods of this repository; see `import_paths.origin`.
    """
    if not (registry.is_import_path(method) or method in registry.files("optimizer")):
        return None
    return import_paths.origin(method_class(method).optimizer)


def identity_of(method: str) -> str | None:
    """Return the class and version of an optimizer of another package, for fingerprints; None for others."""
    origin = origin_of(method)
    return None if origin is None else "{class} {distribution} {version}".format(**origin)


def takes_both_batches(method: str) -> bool:
    """Return whether a method draws both a zeroth-order and a first-order batch.

    For such a method, L_T assigns each example to one of the two batches by its length.
    """
    return method != ZERO_SHOT and {"zo_loss", "fo_loss"} <= set(method_class(method).closures)


def methods_where(condition: Callable[[str], bool]) -> list[str]:
    """Return the methods for which a condition holds; a broken file counts as none.

    Optimizers of other packages are only named if the condition holds for no method of this repository.
    """
    found = []
    for kind in ("method", "optimizer"):
        for method in registry.files(kind) if not found else ():
            with suppress(UserError):
                found += [method] if condition(method) else []
    return found


def complete_settings(method: str, given: Mapping[str, Any], others: Iterable[str] = ()) -> dict[str, Any]:
    """Return all settings of a method, sorted by name, with defaults filled in.

    Args:
        method: method name, or "zero-shot".
        given: the settings to use; all others get their defaults.
        others: names of run fields, which an error may also suggest for an unknown setting.

    Raises:
        UserError: the method does not have a setting (the message suggests the closest name), or a value has
            the wrong type.
    """
    if method != ZERO_SHOT:
        registry.path("method", method)
    known = settings_of(method)
    for key in given:
        if key not in known:
            owners = methods_where(lambda m, key=key: key in settings_of(m))
            if owners:
                raise UserError(f"{method} does not take {key}: it is a setting of {', '.join(owners)}")
            raise unknown("setting", key, [*known, *others])
    values = known | dict(given)
    numbers = import_paths.numbers_of(method) if registry.is_import_path(method) else ()
    for key, value in values.items():
        default = known[key]
        if value is inspect.Parameter.empty:
            what = "a learning rate" if key == "lr" else f"a value for {key}"
            raise UserError(f"{method} needs {what}: pass --{key.replace('_', '-')}")
        if type(default) is bool and type(value) is not bool:
            raise UserError(f"{key} must be true or false, not {value!r}")
        is_number = type(value) is float and key in numbers
        if type(default) is int and type(value) is not int and not is_number:
            raise UserError(f"{key} must be a whole number, not {value!r}")
        if (type(default) is float or key == "lr") and type(value) not in (int, float):
            raise UserError(f"{key} must be a number, not {value!r}")
        if isinstance(default, tuple) and (type(value) not in (list, tuple) or len(value) != len(default)):
            raise UserError(f"{method}: {key} must be a list of {len(default)} numbers, not {value!r}")
        if type(value) is int and (type(default) is float or key == "lr"):
            values[key] = float(value)
        if isinstance(value, tuple):
            values[key] = list(value)
    return dict(sorted(values.items()))


def build_optimizer(spec: "RunSpec", model: "nn.Module") -> "Method":
    """Build the optimizer of a spec for a model."""
    cls = method_class(spec.method)
    accepted = cls.arguments()
    arguments = {k: v for k, v in spec.settings.items() if k in accepted}
    if "seed" in accepted:
        arguments["seed"] = spec.seed
    return cls(model, **arguments)
