"""Loss precision: compute the losses of 16-bit models in float32 while a zeroth-order loss is evaluated.

projected_grad is the small difference of two losses. The grid of a bfloat16 loss of 0.7 is 2^-8, so with
eps = 1e-3 projected_grad would be a multiple of 1.95. Many models compute their loss in their own dtype.
While a closure runs, torch's loss functions, log-softmax, and means and sums over all elements therefore
convert 16-bit arguments to float32 first, as if the closure upcast the logits.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, _get_current_function_mode_stack
from torch.utils import _pytree as pytree

from addax.forward_state import ForwardState
from addax.rounding import HALF
from addax.weight_swap import WeightSwap

T = TypeVar("T")

#: Number of losses of compiled code that are checked for having been rounded to 16-bit.
COMPILED_LOSSES_CHECKED = 32

_LOSSES = frozenset(
    getattr(F, name)
    for name in (
        *(name for name in dir(F) if name.endswith("_loss") and not name.startswith("_")),
        "binary_cross_entropy",
        "binary_cross_entropy_with_logits",
        "cross_entropy",
        "kl_div",
        "linear_cross_entropy",
        "log_softmax",
        "logsigmoid",
    )
    if hasattr(F, name)
) | {torch.log_softmax, Tensor.log_softmax, torch.logsumexp, Tensor.logsumexp}
_REDUCTIONS = frozenset(
    getattr(place, name) for place in (torch, Tensor) for name in ("mean", "nanmean", "sum", "nansum")
)
_CONVERSIONS = frozenset({Tensor.float, Tensor.double, Tensor.to, Tensor.type})
_READS = frozenset({Tensor.item, Tensor.__float__, Tensor.tolist})


class Float32Losses(TorchFunctionMode):
    """Compute the loss functions and full reductions that a closure calls in float32.

    The mode also remembers scalars that were computed in 16-bit and converted later, because such a loss is
    float32 but has lost its precision.
    """

    def __init__(self) -> None:
        super().__init__()
        self._converted: list[Tensor] = []
        self._values: set[float] = set()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict | None = None
    ) -> Any:
        """Call a function of torch, in float32 if it computes a loss."""
        kwargs = kwargs or {}
        if func in _LOSSES:
            args, kwargs = pytree.tree_map_only(Tensor, _upcast, (args, kwargs))
        elif func in _REDUCTIONS:
            if _is_half(args[0] if args else kwargs.get("input")) and _reduces_to_scalar(args, kwargs):
                kwargs = {"dtype": torch.float32} | kwargs
        elif (func in _CONVERSIONS or func in _READS) and _is_half(args[0]) and args[0].numel() == 1:
            result = func(*args, **kwargs)
            if isinstance(result, Tensor):
                self._converted.append(result)
            elif isinstance(result, float):
                self._values.add(result)
            return result
        return func(*args, **kwargs)

    def remove(self) -> None:
        """Deactivate the mode, if it is active in this thread."""
        if self in _get_current_function_mode_stack():
            self.__exit__(None, None, None)

    def has_lost_precision(self, loss: Tensor) -> bool:
        """Return whether a closure's loss was computed in 16-bit."""
        if loss.dtype in HALF or any(loss is converted for converted in self._converted):
            return True
        return bool(self._values) and float(loss) in self._values


class LossPrecision:
    """Evaluates the losses of a model in float32.

    Args:
        model: the model. If it has no 16-bit weights, `Float32Losses` is not active until a closure returns a
            16-bit loss or uses autocast.
    """

    def __init__(self, model: nn.Module) -> None:
        self.needed = any(p.dtype in HALF for p in model.parameters())
        self._previous: Tensor | None = None
        self._checked = 0

    def evaluate(
        self, loss: Callable[[], Any], state: ForwardState, swap: WeightSwap | None = None
    ) -> Tensor:
        """Return the value of a closure in at least float32.

        Args:
            loss: the closure.
            state: the forward state at which the closure starts, to evaluate it again if necessary.
            swap: the swap that evaluates the closure, if any.

        Raises:
            ValueError: if the value is not a scalar tensor, if it was computed in 16-bit, or if the closure
                has read no parameter.
        """
        if not self.needed:
            value = without_autocast_cache(loss)
            narrow = isinstance(value, Tensor) and value.dtype in HALF
            if not narrow and not (swap and swap.uses_autocast):
                return _checked(scalar(value, "zo_loss"), swap)
            self.needed = True
            state.restore()
        # A compiler would trace the mode into its graph.
        mode = None if swap and swap.whole else Float32Losses()
        value = _under(mode, loss)
        wide = scalar(value, "zo_loss")
        lost = mode.has_lost_precision(value) if mode else value.dtype in HALF
        if lost or (swap and swap.structure.compiled and self._looks_rounded(wide)):
            raise ValueError(
                "zo_loss was computed in 16-bit, where the difference of two losses is lost to rounding: "
                "compute it in float32, such as functional.cross_entropy(logits.float(), labels)"
            )
        return _checked(wide, swap)

    def _looks_rounded(self, loss: Tensor) -> bool:
        """Return whether two successive losses of compiled code are exact in a 16-bit type.

        Inside compiled code, a conversion from 16-bit to float32 cannot be seen. Two losses that were
        computed in float32 are exact in 16-bit with a probability of 2^-26 or less. Multiples of 1/64 up to 1
        are accepted, because a metric of a small batch may be one. Only the first losses are checked, because
        the check waits for the device.
        """
        if self._checked == COMPILED_LOSSES_CHECKED:
            return False
        self._checked += 1
        previous, self._previous = self._previous, loss
        if previous is None:
            return False
        pair = torch.stack([previous, loss])
        exact = any(bool((pair == pair.to(dtype)).all()) for dtype in HALF)
        return exact and bool(((pair.abs() > 1) | (pair * 64 != (pair * 64).round())).any())


def _checked(loss: Tensor, swap: WeightSwap | None) -> Tensor:
    if swap is not None and not swap.has_read:
        raise ValueError(
            "zo_loss does not read a trainable parameter of the model: compute it with the model that the "
            "method was built from (a copied method has its own model, .model)"
        )
    return loss


def _under(mode: Float32Losses | None, loss: Callable[[], T]) -> T:
    """Call a closure under a mode, which is not active afterward, whenever an interrupt arrives."""
    if mode is None:
        return without_autocast_cache(loss)
    try:
        try:
            mode.__enter__()
            return without_autocast_cache(loss)
        finally:
            mode.remove()
    finally:
        mode.remove()


def _upcast(value: Tensor) -> Tensor:
    return value.float() if value.dtype in HALF else value


def _is_half(value: object) -> bool:
    return isinstance(value, Tensor) and value.dtype in HALF


def _reduces_to_scalar(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    value = args[0] if args else kwargs["input"]
    axes = [*args[1:], *(kwargs[name] for name in ("dim", "axis") if name in kwargs)]
    return value.dim() == 1 or all(axis is None for axis in axes)


def without_autocast_cache(loss: Callable[[], T]) -> T:
    """Call a closure with an empty autocast cache, and empty the cache afterward.

    Autocast keeps the cast of each parameter until its outermost region ends, even if the parameter has been
    pointed at different memory in the meantime.
    """
    torch.clear_autocast_cache()
    try:
        return loss()
    finally:
        torch.clear_autocast_cache()


def scalar(value: object, name: str) -> Tensor:
    """Return a closure's loss in at least float32. Raise `ValueError` if it is not a scalar tensor."""
    if not isinstance(value, Tensor) or value.numel() != 1:
        got = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(f"{name} must return a scalar tensor, not {got}")
    value = value.reshape(())
    return value if value.dtype == torch.float64 else value.float()
