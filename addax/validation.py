"""Validate the arguments and the parameters that a method is built from."""

import difflib
import inspect
import math
import numbers
import operator
from collections.abc import Iterable, Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedTensorMixin
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from addax import noise, seeds
from addax.distributed import warn_without_group
from addax.module_tree import modules_of

TRAINABLE = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
_SINCE = "since the method was built: change the model first, then build the method from it"


class CheckedArguments:
    """Checks the names of constructor arguments. `Method` itself would hide the signature of `__init__`."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Check the names of the arguments. Copies are made without arguments."""
        check_keywords(cls, kwargs, cls.arguments())
        if (args or "model" in kwargs) and kwargs.get("process_group") is None:
            warn_without_group(cls.__name__, stacklevel=2)
        return super().__new__(cls)


def trainable(model: nn.Module) -> dict[nn.Parameter, int]:
    """Return the trainable parameters of a model, each once, and the indices that define their noise.

    A parameter's index is its position among all named parameters, so freezing a parameter does not change
    the z of another one. There are `seeds.MAX_TENSORS` indices. In a model with more parameters, a trainable
    parameter at a later position takes an index that no trainable parameter has, the highest one first.

    Raises:
        TypeError: if the model is not a module.
        ValueError: if there is no trainable parameter, if one is not a plain contiguous floating-point
            tensor with memory, or if there are more parameters or elements than z has indices for.
    """
    require_module(model)
    positions = {}
    for position, (name, p) in enumerate(model.named_parameters()):
        if p.requires_grad:
            _check_parameter(name, p)
            positions[p] = position
    if not positions:
        raise ValueError(
            f"{type(model).__name__} has no trainable parameter: unfreeze some with requires_grad_(True)"
        )
    if len(positions) > seeds.MAX_TENSORS:
        raise ValueError(
            f"{type(model).__name__} has {len(positions)} trainable parameters, but at most "
            f"{seeds.MAX_TENSORS} can be trained: freeze some with requires_grad_(False)"
        )
    used = set(positions.values())
    free = (i for i in reversed(range(seeds.MAX_TENSORS)) if i not in used)
    return {p: i if i < seeds.MAX_TENSORS else next(free) for p, i in positions.items()}


def require_module(model: object) -> None:
    """Raise `TypeError` naming the correct call unless the argument is a module."""
    if isinstance(model, nn.Module):
        return
    if isinstance(model, type) and issubclass(model, nn.Module):
        raise TypeError(f"the first argument is the class {model.__name__}: pass an instance of it")
    if isinstance(model, Tensor | Iterable) and not isinstance(model, str):
        raise TypeError(
            f"the first argument is the model, not its parameters ({type(model).__name__}): pass model, and "
            "pass params=... to set groups"
        )
    raise TypeError(f"the first argument must be the model (an nn.Module), not {type(model).__name__}")


def _check_parameter(name: str, p: nn.Parameter) -> None:
    if p.dtype not in TRAINABLE:
        raise ValueError(
            f"parameter {name!r} is {p.dtype}: only {', '.join(map(str, TRAINABLE))} can be trained; "
            "freeze it with requires_grad_(False)"
        )
    _refuse_parts(name, p)
    if is_traceable_wrapper_subclass(p):
        raise ValueError(
            f"parameter {name!r} is a {type(p).__name__}, which stores its values quantized or in parts: "
            "only plain tensors can be trained; freeze it with requires_grad_(False)"
        )
    if isinstance(p, UninitializedTensorMixin):
        raise ValueError(f"parameter {name!r} has no shape yet: run the model once on a batch first")
    if is_offloaded(p):
        raise ValueError(
            f"parameter {name!r} is offloaded to disk or CPU: it cannot be trained; load it on a device"
        )
    if not p.is_contiguous():
        raise ValueError(f"parameter {name!r} is not contiguous: call .contiguous() on its data first")
    largest = seeds.MAX_BLOCKS * noise.block_size(p.device)
    if p.numel() > largest:
        raise ValueError(
            f"parameter {name!r} has {p.numel()} elements, but at most {largest} can be trained on "
            f"{p.device}: split it, or freeze it with requires_grad_(False)"
        )


def _refuse_parts(name: str, p: nn.Parameter) -> None:
    """Raise `ValueError` if a parameter is a part of one that is divided among processes."""
    owner = None
    if getattr(p, "_fsdp_flattened", False):
        owner = "FullyShardedDataParallel"
    elif hasattr(p, "ds_id"):
        owner = "DeepSpeed"
    elif any(base.__name__ == "DTensor" for base in type(p).__mro__):
        owner = "fully_shard or another user of DTensor"
    if owner is not None:
        raise ValueError(
            f"parameter {name!r} is divided among processes by {owner}: give each process the whole model, "
            "and pass process_group=torch.distributed.group.WORLD"
        )


def is_offloaded(p: nn.Parameter) -> bool:
    """Return whether a parameter is a placeholder for values on disk or in CPU memory."""
    return p.device.type == "meta"


def _are_unchanged(model: nn.Module, placements: Mapping[nn.Parameter, tuple[Any, Any]]) -> bool:
    """Return True only if a model certainly has the trainable parameters that a method was built from.

    The check with names and reasons takes several times as long.
    """
    found = {}
    for module in modules_of(model):
        for p in module._parameters.values():
            if p is not None and p.requires_grad and id(p) not in found:
                found[id(p)] = p
                # Code that divides a parameter among processes adds attributes or changes its class.
                if type(p) is not nn.Parameter or vars(p) or placements.get(p) != (p.device, p.dtype):
                    return False
    return len(found) == len(placements)


def check_unchanged(
    model: nn.Module, names: Mapping[nn.Parameter, str], placements: Mapping[nn.Parameter, tuple[Any, Any]]
) -> None:
    """Raise `ValueError` if a model's trainable parameters have changed since a method was built from it.

    Args:
        model: the method's model.
        names: names of the parameters that the method updates.
        placements: the (device, dtype) of these parameters when the method was built.
    """
    if _are_unchanged(model, placements):
        return
    seen = 0
    for name, p in model.named_parameters():
        if not p.requires_grad:
            continue
        _refuse_parts(name, p)
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


def within(value: object, name: str, *, low: float, high: float = math.inf, open_low: bool = False) -> None:
    """Raise `ValueError` naming the argument unless low <= value <= high (low < value if `open_low`).

    A value is a number or a tensor with one element. Infinity is never valid.
    """
    number = value.item() if isinstance(value, Tensor) and value.numel() == 1 else value
    if not isinstance(number, numbers.Real) or isinstance(number, bool):
        raise ValueError(f"{name} must be a number, not {value!r}")
    if not (low <= number <= high) or (open_low and number == low) or math.isinf(number):
        left, right = "(" if open_low else "[", ")" if math.isinf(high) else "]"
        raise ValueError(f"{name} must be in {left}{low:g}, {high:g}{right}, not {value}")


def whole(value: object, name: str) -> int:
    """Return an integer of any type as int. Raise `ValueError` naming the argument for other values."""
    try:
        if isinstance(value, bool):
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise ValueError(f"{name} must be an integer, not {value!r}") from None


def one_of(value: str, name: str, known: tuple[str, ...]) -> str:
    """Return a value if it is known. Otherwise raise `ValueError` naming the argument and known values."""
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}, not {value!r}")
    return value


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known name that a misspelled word probably means, or None.

    Examples:
        >>> nearest("epsilon", ["lr", "eps"]), nearest("learning_rate", ["lr", "eps"])
        ('eps', 'lr')
    """
    known = list(known)
    if "lr" in known and word.lower().replace("_", "").startswith(("learningrate", "lr")):
        return "lr"
    return next(iter(difflib.get_close_matches(word.lower(), known, 1)), None)


def check_keywords(method: type, given: Iterable[str], arguments: Iterable[str]) -> None:
    """Raise `TypeError` with a suggestion if no constructor of a class or of its bases has an argument.

    Args:
        method: the class.
        given: names of the keyword arguments.
        arguments: names of the class's documented arguments.
    """
    known = {"model", *arguments}
    for base in method.__mro__:
        if "__init__" in vars(base) and base.__module__.split(".")[0] not in ("torch", "builtins"):
            known.update(inspect.signature(base.__init__).parameters)
    for name in given:
        if name not in known:
            similar = nearest(name, arguments)
            hint = f"did you mean {similar!r}?" if similar else f"it takes {', '.join(arguments)}"
            raise TypeError(f"{method.__name__} got an unexpected keyword argument {name!r}: {hint}")
