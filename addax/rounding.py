"""Rounding: write float32 results into 16-bit parameters so that small steps survive.

At lr x projected_grad = 1e-6, rounding to nearest loses most of a 16-bit step, because most coordinates round
back to their old value. Stochastic rounding rounds up with a probability equal to the remainder, so it is
exact in expectation.
"""

import sys
from dataclasses import dataclass, field

import torch
from torch import Tensor

from addax import noise

ROUNDINGS = ("stochastic", "nearest")
HALF = (torch.float16, torch.bfloat16)
_FP16_SMALLEST_NORMAL = 2.0**-14
_FP16_SUBNORMAL_STEP = 2.0**-24
_UPPER_HALF = 1 if sys.byteorder == "little" else 0


@dataclass
class RealizedFraction:
    """The fraction of an intended step that 16-bit parameters took: <taken, intended> / <intended, intended>.

    Each block of a parameter adds one term to both sums. The terms stay on the parameter's device, and they
    are added in the order of their blocks, whichever thread finishes first.
    """

    terms: dict[tuple[int, int], tuple[Tensor, Tensor]] = field(default_factory=dict)

    def add(self, index: int, block: int, before: Tensor, intended: Tensor, after: Tensor) -> None:
        """Add the values of a parameter's block before, as intended, and after: float32, shape (n,)."""
        step = intended - before
        self.terms[index, block] = torch.dot(after - before, step), torch.dot(step, step)

    def value(self) -> Tensor | None:
        """Return the fraction, a float32 scalar on the device. Return None if no block was added."""
        if not self.terms:
            return None
        terms = [self.terms[key] for key in sorted(self.terms)]
        device = terms[0][0].device
        products, squares = (
            torch.stack([t.to(device) for t in column]) for column in zip(*terms, strict=True)
        )
        return products.sum() / squares.sum()


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


def write_rounded(target: Tensor, x: Tensor, bits: Tensor) -> None:
    """Round x to the 16-bit type of a target stochastically, and write it there.

    In bfloat16, x is overwritten, and nothing is allocated.

    Args:
        target: bfloat16 or float16, contiguous, shape (n,).
        x, bits: see `stochastic_round`.
    """
    if target.dtype != torch.bfloat16:
        target.copy_(stochastic_round(x, target.dtype, bits))
        return
    # The upper half of each sum is the result.
    sums = x.view(torch.int32).add_(bits)
    if noise.on_cpu(target.device):
        # Operators with strides are slow on a CPU. On a GPU, this would read and write the sums once more.
        target.view(torch.int16).copy_(sums.bitwise_right_shift_(16))
    else:
        target.view(torch.int16).copy_(sums.view(torch.int16)[_UPPER_HALF::2])
