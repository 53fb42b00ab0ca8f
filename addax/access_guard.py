"""Access guard: detect reads of theta's memory through tensors that are not parameters.

A read of a parameter is noticed and gets the perturbed weight (`addax.watched`). A tensor that was created
before the evaluation, such as a view of a weight, would read theta instead, and the estimate would be
silently wrong. The guard checks the memory of every operator's arguments. It costs several microseconds per
operator, so it is active only while such a tensor exists (`any_aliased`).
"""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode, _get_current_dispatch_mode_stack

from addax.scratch import memory

# These operators read the shape, dtype, and device of their argument but not its values.
_SHAPE_ONLY = re.compile(r"aten::(new_\w+|\w+_like)")


class ParameterAccessGuard(TorchDispatchMode):
    """A dispatch mode that raises when an operator reads theta's memory.

    Args:
        model: provides the names of parameters for the error.
        parameters: the parameters to guard, at their current memory.

    Raises:
        ValueError: if an operator reads theta's memory. The message names the parameter.
    """

    def __init__(self, model: nn.Module, parameters: Mapping[nn.Parameter, Any]) -> None:
        super().__init__()
        self.active = True
        self.theta: dict[int | None, list[tuple[int, int, str]]] = {}
        for name, p in model.named_parameters():
            if p in parameters and p.numel():
                self.theta.setdefault(memory(p), []).append((*_extent(p), name))

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Pause the guard while theta is read in order to perturb it."""
        active, self.active = self.active, False
        try:
            yield
        finally:
            self.active = active

    def remove(self) -> None:
        """Deactivate the guard, if it is active in this thread."""
        if self in _get_current_dispatch_mode_stack():
            self.__exit__(None, None, None)

    def __torch_dispatch__(
        self, func: Any, types: tuple[type, ...], args: tuple[Any, ...] = (), kwargs: dict | None = None
    ) -> Any:
        """Check an operator's arguments, then run it."""
        kwargs = kwargs or {}
        if self.active and not _only_views(func) and not _SHAPE_ONLY.fullmatch(func._schema.name):
            for value in pytree.tree_leaves((args, kwargs)):
                if isinstance(value, Tensor):
                    self._check(value, func)
        return func(*args, **kwargs)

    def _check(self, tensor: Tensor, func: Any) -> None:
        candidates = self.theta.get(memory(tensor))
        if not candidates or not tensor.numel():
            return
        start, end = _extent(tensor)
        # Several parameters may share one storage, for example if they come from a memory-mapped file.
        for low, high, name in candidates:
            if start < high and low < end:
                raise ValueError(
                    f"parameter {name!r} is read by {func._schema.name} through a tensor that was created "
                    "before zo_loss was called and shares its memory, so it cannot be perturbed: use the "
                    "parameter itself, or create the view in the closure"
                )


def any_aliased(model: nn.Module, parameters: Collection[nn.Parameter]) -> bool:
    """Return whether a tensor outside the model shares memory with a parameter, such as an earlier view.

    Reads through such a tensor bypass the parameter, so the access guard has to find them.
    """
    shared: set[int] = set()
    for p in parameters:
        storage = p.untyped_storage()
        # Two uses are expected: the parameter, and the storage object that this call creates.
        if not p.is_meta and torch._C._storage_Use_Count(storage._cdata) > 2:
            shared.add(storage._cdata)
    if not shared:
        return False
    tensors = {id(t): t for t in (*model.parameters(), *model.buffers())}.values()
    uses = Counter(memory(t) for t in tensors)
    for p in parameters:
        storage = p.untyped_storage()
        if (
            storage._cdata in shared
            and torch._C._storage_Use_Count(storage._cdata) > uses[storage._cdata] + 1
        ):
            return True
    return False


def _extent(tensor: Tensor) -> tuple[int, int]:
    """Return the address of a tensor's first element and the address after its last one, in bytes."""
    start = tensor.data_ptr()
    last = sum((n - 1) * s for n, s in zip(tensor.shape, tensor.stride(), strict=True))
    return start, start + (last + 1) * tensor.element_size()


def _only_views(func: Any) -> bool:
    """Return whether an operator only creates views. Operators that read the views are checked later."""
    returns = func._schema.returns
    return bool(returns) and all(r.alias_info is not None and not r.alias_info.is_write for r in returns)
