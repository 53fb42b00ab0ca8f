"""Rounding: write updates into parameters so that small steps survive in 16-bit.

    theta <- round( theta - sum_k c_k z_k - c g )

The update is computed in float32 (float64 for float64 parameters), block by block. At lr x projected_grad =
1e-6, rounding to nearest loses most of a 16-bit step, because most coordinates round back to their old value.
Stochastic rounding rounds up with a probability equal to the remainder, so it is exact in expectation.

Cost: 1 pass over theta; 1 draw of z per direction, and 16 random bits per element in 16-bit.
Memory: blocks of float32 (1 MiB each on a CPU, 64 MiB on a GPU) for each thread: 1 in float32, 6 in bfloat16,
9 in float16, and 1 more if a direction is combined with a gradient or with a second direction.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from addax import noise

ROUNDINGS = ("stochastic", "nearest")
HALF = (torch.float16, torch.bfloat16)
_FP16_SMALLEST_NORMAL = 2.0**-14
_FP16_SUBNORMAL_STEP = 2.0**-24


@dataclass
class RealizedFraction:
    """The fraction of an intended step that 16-bit parameters took: <taken, intended> / <intended, intended>.

    Each block adds one term to both lists. The terms stay on the parameters' device.
    """

    products: list[Tensor] = field(default_factory=list)
    squares: list[Tensor] = field(default_factory=list)

    def add(self, before: Tensor, intended: Tensor, after: Tensor) -> None:
        """Add the values of one block before, as intended, and after the update: float32, shape (n,)."""
        step = intended - before
        self.products.append(torch.dot(after - before, step))
        self.squares.append(torch.dot(step, step))

    def value(self) -> Tensor | None:
        """Return the fraction, a float32 scalar on the device. Return None if no block was added."""
        if not self.squares:
            return None
        device = self.squares[0].device
        return sum(p.to(device) for p in self.products) / sum(s.to(device) for s in self.squares)


def stochastic_round(x: Tensor, dtype: torch.dtype, bits: Tensor) -> Tensor:
    """Round float32 to a 16-bit type stochastically: up with a probability equal to the remainder.

    The rounding is exact in expectation: E[result] = x.

    Args:
        x: float32, shape (n,).
        dtype: torch.bfloat16 or torch.float16.
        bits: uniform random int32 in [0, 2^16), shape (n,).

    Returns:
        The rounded values in `dtype`, shape (n,). Values that `dtype` represents exactly do not change.

    Examples:
        >>> x = torch.full((4,), 1.0 + 2**-8)   # halfway between two bfloat16 numbers
        >>> bits = torch.tensor([0, 2**14, 2**15, 2**16 - 1], dtype=torch.int32)
        >>> stochastic_round(x, torch.bfloat16, bits).tolist()
        [1.0, 1.0, 1.0078125, 1.0078125]
    """
    if dtype == torch.bfloat16:
        # bfloat16 is the upper half of a float32. Adding random bits to the lower half carries into the upper
        # half with the right probability.
        return ((x.view(torch.int32) + bits) & -(1 << 16)).view(torch.float32).to(dtype)
    normal = ((x.view(torch.int32) + (bits >> 3)) & -(1 << 13)).view(torch.float32)
    step = _FP16_SUBNORMAL_STEP
    # Add the random bits to the remainder only. In a sum with the larger `x / step`, they would be rounded.
    below = torch.floor(x / step)
    subnormal = (below + ((x / step - below) + bits / (1 << 16) >= 1)) * step
    return torch.where((x.abs() < _FP16_SMALLEST_NORMAL) & (x != 0), subnormal, normal).to(dtype)


@torch.no_grad()
def apply_update(
    theta: Tensor,
    index: int,
    step_seed: int,
    *,
    directions: Sequence[tuple[Tensor, int]] = (),
    grad: tuple[Tensor | float, Tensor] | None = None,
    is_finite: Tensor | None = None,
    rounding: str = "stochastic",
    realized: RealizedFraction | None = None,
) -> None:
    """Apply theta <- theta - sum_k c_k z(seed_k) - c g in place, in one pass over theta.

    Args:
        theta: a contiguous parameter of any floating dtype.
        index: the index of the parameter, which defines its z and its rounding bits.
        step_seed: seed of the rounding bits.
        directions: pairs of a coefficient (a scalar tensor on theta's device) and the step seed of its z.
        grad: a coefficient and a gradient of theta's shape.
        is_finite: bool scalar on theta's device. If it is False, the gradient is replaced by zero.
        rounding: "stochastic" or "nearest"; ignored for float32 and float64 parameters.
        realized: accumulates the fraction of the step that 16-bit parameters take.
    """
    flat = theta.data.view(-1)
    # If the gradient's layout differs from the parameter's, reshape copies it.
    flat_grad = None if grad is None else grad[1].reshape(-1)
    half = theta.dtype in HALF
    wide = torch.float32 if half else theta.dtype

    def work(block: int, part: slice) -> None:
        old = flat[part]
        numel = part.stop - part.start
        step: Tensor | None = None
        for coefficient, seed in directions:
            # The next draw overwrites this z.
            previous = None if step is None else step.clone()
            z = noise.normal(seed, index, block, numel, theta.device)
            z = (z.double() if theta.dtype == torch.float64 else z).mul_(coefficient)
            step = z if previous is None else previous.add_(z)
        if flat_grad is not None:
            descent = flat_grad[part].to(wide) * grad[0]
            if is_finite is not None:
                descent.masked_fill_(~is_finite, 0)
            step = descent if step is None else step.add_(descent)
        if not half:
            old.sub_(step)
            return
        before = old.float()
        new = before - step
        if rounding == "stochastic":
            bits = noise.random_bits(step_seed, index, block, numel, theta.device)
            old.copy_(stochastic_round(new, theta.dtype, bits))
        else:
            old.copy_(new)
        if realized is not None:
            realized.add(before, new, old.float())

    noise.for_blocks(flat.numel(), theta.device, work)
