"""Update with the fused kernels: move parameters by the step of `addax.update` in one launch.

Cost: 1 pass over theta, and 1 over the gradient. The kernels draw z and the rounding bits.
Memory: none, except in a step that measures the realized fraction of 16-bit parameters. Such a step copies
the first `MEASURED` elements of each parameter: 37 MB on OPT-13B.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from addax import fused
from addax.rounding import HALF
from addax.small_tensors import alike
from addax.update import ParameterUpdate, Step

#: The realized fraction is that of this many elements of each parameter. All copies exist at once.
MEASURED = 1 << 16


def apply_fused_updates(parameters: Sequence[tuple[Tensor, int]], step: Step) -> None:
    """Apply a step without a gradient to several (parameter, index) on one device, with fused kernels."""
    for group in alike([p for p, _ in parameters]):
        apply_fused([(*parameters[n], None) for n in group], step)


def apply_fused(
    parameters: Sequence[tuple[Tensor, int, Tensor | None]], step: Step, not_finite: Tensor | None = None
) -> None:
    """Apply a step to (parameter, index, gradient) on one device and of one dtype, with fused kernels.

    An element whose gradient is not finite does not move.

    Args:
        parameters: all with a gradient, or all without one.
        step: the step.
        not_finite: int32 scalar on the device, which becomes 1 if an element of a gradient is not finite.
    """
    theta = parameters[0][0]
    vector = step.vector
    items = [(p.data, index, None if grad is None else grad.contiguous()) for p, index, grad in parameters]
    measured = step.realized is not None and theta.dtype in HALF
    before = [p.view(-1)[:MEASURED].clone() for p, *_ in items] if measured else []
    fused.update(
        items,
        step.seed,
        directions=[seed for _, seed in step.directions],
        direction="normal" if step.draws is None else step.draws.kind,
        coefficients=vector.double() if theta.dtype == torch.float64 else vector.float(),
        rounding=step.rounding,
        not_finite=not_finite,
    )
    for old, (p, index, grad) in zip(before, items, strict=False):
        _measure(old, p, index, step, None if grad is None else grad.view(-1))


def _measure(before: Tensor, theta: Tensor, index: int, step: Step, grad: Tensor | None) -> None:
    """Add the first elements of a parameter, which have already moved, to the realized fraction."""
    old, part = before.float(), slice(0, before.numel())
    intended = torch.empty_like(old)
    ParameterUpdate(theta, index, step, grad).subtract(old, 0, part, out=intended)
    if grad is not None:
        intended = torch.where(torch.isfinite(grad[part]), intended, old)
    step.realized.add(index, 0, old, intended, theta.view(-1)[part].float())
