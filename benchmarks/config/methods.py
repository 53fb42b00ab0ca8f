"""Methods by name, and their settings: what each takes, the defaults, and the optimizer they make."""

import inspect
from collections.abc import Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from benchmarks import registry
from benchmarks.config.names import ZERO_SHOT
from benchmarks.errors import UserError, unknown

if TYPE_CHECKING:
    from torch import nn

    from addax.optimizer import Method
    from benchmarks.config.spec import RunSpec

# Default batch sizes: K0 and K1 of a method that takes both batches, and the size of a method's only batch.
BATCH_OF_BOTH = {"zo_batch_size": 6, "fo_batch_size": 4}
BATCH_ALONE = {"zo_batch_size": 16, "fo_batch_size": 8}


@cache
def method_class(name: str) -> "type[Method]":
    """Return the optimizer class that a method's file defines."""
    from addax.optimizer import Method

    module = registry.module("method", name)
    own = [
        c
        for c in vars(module).values()
        if inspect.isclass(c) and issubclass(c, Method) and c.__module__ == module.__name__
    ]
    if len(own) != 1:
        found = f" ({', '.join(c.__name__ for c in own)})" if own else ""
        raise UserError(f"{registry.path('method', name)}: defines {len(own)} methods{found}, not one")
    for attribute in ("label", "closures"):
        if not hasattr(own[0], attribute):
            raise UserError(f"{registry.path('method', name)}: {own[0].__name__} has no {attribute}")
    return own[0]


@cache
def settings_of(method: str) -> dict[str, Any]:
    """Names and defaults of all settings of a method; lr has no default (`inspect.Parameter.empty`)."""
    if method == ZERO_SHOT:
        return {}
    cls = method_class(method)
    no_settings = ("seed", "params", "check", "process_group")
    known = {name: default for name, default in cls.arguments().items() if name not in no_settings}
    both = takes_both_batches(method)
    for loss, key in (("zo_loss", "zo_batch_size"), ("fo_loss", "fo_batch_size")):
        if loss in cls.closures:
            known[key] = (BATCH_OF_BOTH if both else BATCH_ALONE)[key]
    return known


def takes_both_batches(method: str) -> bool:
    """Whether a method draws a zeroth-order and a first-order batch, between which L_T divides examples."""
    return method != ZERO_SHOT and {"zo_loss", "fo_loss"} <= set(method_class(method).closures)


def complete_settings(method: str, own: Mapping[str, Any], others: Iterable[str] = ()) -> dict[str, Any]:
    """Return a method's settings in order, with the defaults of those that are not given.

    Args:
        method: its name, or "zero-shot".
        own: what is given.
        others: names that are no settings, among which a wrong one's nearest is looked for too.

    Raises:
        UserError: a setting that the method does not have, naming the nearest right one; a wrong type.
    """
    if method != ZERO_SHOT:
        registry.path("method", method)
    known = settings_of(method)
    for key in own:
        if key not in known:
            owners = [m for m in registry.files("method") if key in settings_of(m)]
            if owners:
                raise UserError(f"{method} takes no {key}: it is a setting of {', '.join(owners)}")
            raise unknown("setting", key, [*known, *others])
    values = known | dict(own)
    for key, value in values.items():
        default = known[key]
        if value is inspect.Parameter.empty:
            raise UserError(f"{method} needs a learning rate: give --lr")
        if type(default) is int and type(value) is not int:
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
    """Build the method of a spec on a model."""
    cls = method_class(spec.method)
    accepted = cls.arguments()
    own = {k: v for k, v in spec.settings.items() if k in accepted}
    if "seed" in accepted:
        own["seed"] = spec.seed
    return cls(model, **own)
