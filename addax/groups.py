"""Parameter groups: accept every form that torch accepts, and reject every setting that a step would ignore.

A group may be a dict with its own settings, or the parameters may be given alone, as tensors or as pairs
(name, tensor). A method honors the settings that it lists in `group_settings`. Other keys are errors, both at
construction and when code writes them later, except for the keys in which torch's schedulers keep notes.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn

from addax.validation import nearest, within

# Keys that describe a group or are notes of torch's schedulers. They do not change a step.
_NOTES = ("params", "param_names", "name", "initial_lr", "max_lr", "min_lr", "swa_lr")
_MOMENTUM_NOTES = ("max_momentum", "base_momentum")


def as_groups(params: object) -> list[dict[str, Any]]:
    """Return parameters or parameter groups as a list of new groups.

    Args:
        params: an iterable of parameters, of (name, parameter) pairs, or of groups.

    Raises:
        TypeError: if the argument has another form.
    """
    if isinstance(params, Mapping):
        remedy = "[group]" if "params" in params else "params.items()"
        raise TypeError(f"params is one {type(params).__name__}: pass {remedy}")
    if isinstance(params, nn.Module):
        raise TypeError(f"params is a {type(params).__name__}: omit it to train the model that comes first")
    if isinstance(params, set | frozenset):
        raise TypeError("params is a set, whose order differs between runs: pass a list")
    if isinstance(params, Tensor | str) or not isinstance(params, Iterable):
        raise TypeError(f"params must be a list of parameters or of groups, not {type(params).__name__}")
    given = list(params)
    dicts = [isinstance(item, Mapping) for item in given]
    if not any(dicts):
        return [{"params": given}]
    if not all(dicts):
        raise TypeError("params mixes groups and parameters: pass only groups, or only parameters")
    for k, group in enumerate(given):
        if "params" not in group:
            raise ValueError(f"parameter group {k} has no 'params': it needs the list of its parameters")
    return [dict(group) for group in given]


def check_groups(
    groups: Iterable[Mapping[str, Any]],
    indices: Mapping[nn.Parameter, int],
    names: Mapping[nn.Parameter, str],
) -> None:
    """Raise `ValueError` unless the groups contain exactly the trainable parameters.

    Args:
        groups: the groups.
        indices: the trainable parameters of the model.
        names: names of all parameters of the model.
    """
    grouped = dict.fromkeys(p for group in groups for p in group["params"])
    for p in grouped:
        if p not in indices:
            subject = f"parameter {names[p]!r}" if p in names else "a parameter"
            raise ValueError(f"{subject} in the groups is not a trainable parameter of the model: remove it")
    for p in indices:
        if p not in grouped:
            raise ValueError(
                f"trainable parameter {names[p]!r} is in no parameter group, so its gradients would "
                "accumulate: add it to a group, or freeze it with requires_grad_(False)"
            )


def check_settings(
    groups: Iterable[Mapping[str, Any]],
    method: str,
    settings: tuple[str, ...],
    arguments: Iterable[str],
    fixed: Mapping[str, Any],
) -> None:
    """Raise `ValueError` if a step would ignore a setting of a group, or if a setting has no valid value.

    Args:
        groups: the groups.
        method: name of the method, for errors.
        settings: the settings of a group that the method honors.
        arguments: the arguments of the method's constructor, which hold for all groups.
        fixed: settings that torch adds to every group, with the only value that the method supports.
    """
    notes = _NOTES + (_MOMENTUM_NOTES if "betas" in settings else ())
    for k, group in enumerate(groups):
        for key in settings:
            if key not in group:
                raise ValueError(f"parameter group {k} has no {key}: set it")
        for key, value in group.items():
            if key in settings:
                check_setting(value, key, f"{key} of parameter group {k}")
            elif key in fixed:
                if value != fixed[key]:
                    raise ValueError(
                        f"{key} of parameter group {k} must be {fixed[key]}, not {value}: {method} has no "
                        "other value"
                    )
            elif key not in notes:
                raise ValueError(
                    f"{method} would ignore {key!r} of parameter group {k}: "
                    + _remedy(key, method, settings, arguments)
                )


def _remedy(key: str, method: str, settings: tuple[str, ...], arguments: Iterable[str]) -> str:
    if key in arguments:
        return f"it holds for all groups, so pass {method}(model, {key}=...)"
    similar = nearest(key, settings)
    return f"did you mean {similar!r}?" if similar else f"remove it (a group may set {', '.join(settings)})"


def check_setting(value: Any, key: str, name: str) -> None:
    """Raise `ValueError` naming a setting of a group unless its value is valid."""
    if key == "betas":
        if not isinstance(value, tuple | list) or len(value) != 2:
            raise ValueError(f"{name} must be two numbers, not {value!r}")
        for beta in value:
            within(beta, name, low=0, high=math.nextafter(1, 0))
    else:
        within(value, name, low=0)


def learning_rate(group: Mapping[str, Any]) -> float:
    """Return a group's learning rate. If it is a tensor, this reads it from its device."""
    return float(group["lr"])
