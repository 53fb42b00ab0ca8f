"""Watched parameters: notice every read of a weight outside the forward pass of the module that owns it.

While a zeroth-order loss is evaluated, a parameter that is not swapped in belongs to a subclass of its class.
torch passes every operator call that has such a parameter as an argument to the subclass, which swaps the
perturbed weight in before the operator runs. Calls that only read the parameter's shape, dtype, or device are
let through. No other operator is slowed down.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from addax.swap_context import TRACED

# Properties of a tensor that expose its values. All others (shape, dtype, grad, ...) do not.
_VALUES = frozenset({"data", "T", "mT", "H", "mH", "real", "imag"})
# Methods and functions that read no value.
_METADATA = frozenset(
    {
        "__len__", "dense_dim", "dim", "dim_order", "element_size", "get_device", "has_names", "is_complex",
        "is_conj", "is_contiguous", "is_distributed", "is_floating_point", "is_inference", "is_neg",
        "is_pinned", "is_same_size", "is_shared", "is_signed", "ndimension", "nelement", "numel",
        "register_hook", "register_post_accumulate_grad_hook", "requires_grad_", "result_type",
        "retain_grad", "size", "sparse_dim", "storage_offset", "stride", "sym_numel", "sym_size",
    }
)  # fmt: skip


class Reader(Protocol):
    """What a watched class reports reads to."""

    def read(self, func: Callable[..., Any], watched: list[nn.Parameter], args: Any, kwargs: Any) -> Any:
        """Call a function that reads watched parameters."""


def watched_class(kind: type[Tensor], reader: Reader) -> type[Tensor]:
    """Return a subclass of a parameter's class that reports reads.

    Args:
        kind: the class of a parameter.
        reader: what the class reports reads to.
    """

    def __torch_function__(
        cls: type, func: Callable[..., Any], types: Any, args: tuple = (), kwargs: Mapping | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if torch.compiler.is_compiling():
            raise RuntimeError(TRACED)
        if reads_values(func, args):
            watched = [t for t in pytree.tree_leaves((args, kwargs)) if isinstance(t, cls)]
            return reader.read(func, watched, args, kwargs)
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **kwargs)

    return type(kind.__name__, (kind,), {"__torch_function__": classmethod(__torch_function__)})


def reads_values(func: Callable[..., Any], args: tuple[Any, ...]) -> bool:
    """Return whether a function of torch can read the values of its arguments, or pass them on."""
    name = func.__name__
    if name in ("__get__", "__set__", "__delete__"):
        return getattr(func.__self__, "__name__", "data") in _VALUES
    if name == "type":
        # Without a second argument, the method returns the name of the type.
        return len(args) > 1
    return not (name in _METADATA or name.startswith("new_") or name.endswith("_like"))
