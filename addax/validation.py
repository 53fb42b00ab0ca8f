"""Validate the arguments, the parameters, and the parameter groups that a method is built from."""

import math
import operator
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

TRAINABLE = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
_SINCE = "since the method was built: change the model first, then build the method from it"


def trainable(model: nn.Module) -> dict[nn.Parameter, int]:
    """Return the trainable parameters of a model, each once, and the indices that define their noise.

    A parameter's index is its position among all named parameters, so freezing a parameter does not change
    the z of another one.

    Raises:
        ValueError: if there is no trainable parameter, or if one is not a plain contiguous floating-point
            tensor with memory.
    """
    indices = {}
    for index, (name, p) in enumerate(model.named_parameters()):
        if not p.requires_grad:
            continue
        if p.dtype not in TRAINABLE:
            raise ValueError(
                f"parameter {name!r} is {p.dtype}: only {', '.join(map(str, TRAINABLE))} can be trained; "
                "freeze it with requires_grad_(False)"
            )
        if is_traceable_wrapper_subclass(p):
            raise ValueError(
                f"parameter {name!r} is a {type(p).__name__}, which stores its values quantized or in parts: "
                "only plain tensors can be trained; freeze it with requires_grad_(False)"
            )
        if is_offloaded(p):
            raise ValueError(
                f"parameter {name!r} is offloaded to disk or CPU: it cannot be trained; load it on a device"
            )
        if not p.is_contiguous():
            raise ValueError(f"parameter {name!r} is not contiguous: call .contiguous() on its data first")
        indices[p] = index
    if not indices:
        raise ValueError(
            f"{type(model).__name__} has no trainable parameter: unfreeze some with requires_grad_(True)"
        )
    return indices


def is_offloaded(p: nn.Parameter) -> bool:
    """Return whether a parameter is a placeholder for values on disk or in CPU memory."""
    return p.device.type == "meta"


def check_unchanged(
    model: nn.Module, names: Mapping[nn.Parameter, str], placements: Mapping[nn.Parameter, tuple[Any, Any]]
) -> None:
    """Raise `ValueError` if a model's trainable parameters have changed since a method was built from it.

    Args:
        model: the method's model.
        names: names of the parameters that the method updates.
        placements: the (device, dtype) of these parameters when the method was built.
    """
    seen = 0
    for name, p in model.named_parameters():
        if not p.requires_grad:
            continue
        placement = placements.get(p)
        if placement is None:
            change = "replaced" if name in names.values() else "added or unfrozen"
            raise ValueError(f"parameter {name!r} was {change} {_SINCE}")
        if placement != (p.device, p.dtype):
            before, now = (f"{dtype} on {device}" for device, dtype in (placement, (p.device, p.dtype)))
            raise ValueError(f"parameter {name!r} was moved or converted from {before} to {now} {_SINCE}")
        seen += 1
    if seen < len(placements):
        present = {p for p in model.parameters() if p.requires_grad}
        missing = next(name for p, name in names.items() if p not in present)
        raise ValueError(f"parameter {missing!r} was removed or frozen {_SINCE}")


def check_groups(
    groups: Iterable[Mapping[str, Any]],
    indices: Mapping[nn.Parameter, int],
    names: Mapping[nn.Parameter, str],
) -> None:
    """Raise `ValueError` unless the groups are exactly the trainable parameters, with learning rates >= 0."""
    grouped = set()
    for k, group in enumerate(groups):
        within(group["lr"], f"lr of parameter group {k}", low=0)
        grouped.update(group["params"])
    for p in grouped - indices.keys():
        subject = f"parameter {names[p]!r}" if p in names else "a parameter"
        raise ValueError(f"{subject} in the groups is not a trainable parameter of the model: remove it")
    for p in indices:
        if p not in grouped:
            raise ValueError(
                f"trainable parameter {names[p]!r} is in no parameter group, so its gradients would "
                "accumulate: add it to a group, or freeze it with requires_grad_(False)"
            )


def within(value: float, name: str, *, low: float, high: float = math.inf, open_low: bool = False) -> None:
    """Raise `ValueError` naming the argument unless low <= value <= high (low < value if `open_low`).

    Infinity is never valid.
    """
    if not (low <= value <= high) or (open_low and value == low) or math.isinf(value):
        left, right = "(" if open_low else "[", ")" if math.isinf(high) else "]"
        raise ValueError(f"{name} must be in {left}{low:g}, {high:g}{right}, not {value}")


def whole(value: object, name: str) -> int:
    """Return an integer of any type as int. Raise `ValueError` naming the argument for other values."""
    try:
        return operator.index(value)
    except TypeError:
        raise ValueError(f"{name} must be an integer, not {value!r}") from None


def one_of(value: str, name: str, known: tuple[str, ...]) -> str:
    """Return a value if it is known. Otherwise raise `ValueError` naming the argument and known values."""
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}, not {value!r}")
    return value
