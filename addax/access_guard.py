"""Access guard: detect weights that are read while the module that owns them is not running.

SPSA perturbs a module's parameters only during its forward (`addax.spsa`). A weight that is read elsewhere,
for example by `functional.linear(x, other.weight)` or by a weight penalty in the closure, would be
unperturbed there, and the estimate would be silently wrong. The guard checks that no operator reads theta's
memory. Inside their module's forward, parameters point at scratch memory, so legitimate reads pass.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from addax.scratch import memory

# These operators read the shape, dtype, and device of their argument but not its values.
_SHAPE_ONLY = re.compile(r"aten::(new_\w+|\w+_like)")


class ParameterAccessGuard(TorchDispatchMode):
    """A dispatch mode that raises when an operator reads a parameter outside its owner's forward.

    Args:
        model: provides the names of parameters and modules for the error.
        parameters: the parameters to guard, at their current memory.

    Raises:
        ValueError: if an operator reads a guarded parameter. The message names the parameter and its module.
    """

    def __init__(self, model: nn.Module, parameters: Mapping[nn.Parameter, Any]) -> None:
        super().__init__()
        self.model = model
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
                owner = name.rpartition(".")[0]
                kind = type(self.model.get_submodule(owner)).__name__
                where = f"its module {owner!r} ({kind})" if owner else f"the model itself ({kind})"
                raise ValueError(
                    f"parameter {name!r} is read by {func._schema.name} outside the forward of {where}, "
                    "where it cannot be perturbed, so the zeroth-order estimate would be wrong: use it by "
                    "calling that module, or freeze it with requires_grad_(False)"
                )


def _extent(tensor: Tensor) -> tuple[int, int]:
    """Return the address of a tensor's first element and the address after its last one, in bytes."""
    start = tensor.data_ptr()
    last = sum((n - 1) * s for n, s in zip(tensor.shape, tensor.stride(), strict=True))
    return start, start + (last + 1) * tensor.element_size()


def _only_views(func: Any) -> bool:
    """Return whether an operator only creates views. Operators that read the views are checked later."""
    returns = func._schema.returns
    return bool(returns) and all(r.alias_info is not None and not r.alias_info.is_write for r in returns)
