"""Update: move parameters by a step with torch's operators, in one pass over each.

    theta <- round( theta - sum_k c_k z_k - c g )

The sum is computed in float32 (float64 for float64 parameters), block by block, and rounded once; see
`addax.rounding`.

Cost: 1 pass over theta; 1 draw of z per direction, and 16 random bits per element in 16-bit.
Memory: blocks of float32 for each thread, at most 3 in float32, 6 in bfloat16, and 11 in float16. A block has
1 MiB on a CPU and 64 MiB on a GPU.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from addax import noise
from addax.rounding import HALF, RealizedFraction, write_rounded
from addax.small_tensors import KeptNoise, is_small

#: A coefficient of a step: a number on a CPU, a scalar tensor on another device.
Coefficient = Tensor | float


@dataclass(frozen=True)
class Step:
    """What a step subtracts from parameters, and how it is rounded.

    Attributes:
        seed: seed of the rounding bits.
        directions: pairs of a coefficient and the step seed of its z.
        gradient: the coefficient of the gradient.
        draws: draws z; None without directions.
        rounding: "stochastic" or "nearest"; ignored for float32 and float64 parameters.
        realized: accumulates the fraction of the step that 16-bit parameters take.
    """

    seed: int
    directions: Sequence[tuple[Coefficient, int]] = ()
    gradient: Coefficient = 1.0
    draws: KeptNoise | None = None
    rounding: str = "stochastic"
    realized: RealizedFraction | None = None

    @property
    def kind(self) -> str | None:
        """The distribution of the directions; None without directions."""
        return self.draws.kind if self.directions else None

    @cached_property
    def vector(self) -> Tensor:
        """The coefficients of the directions and of the gradient: shape (directions + 1,), on the device."""
        return torch.stack([*(c for c, _ in self.directions), self.gradient])


@torch.no_grad()
def apply_update(
    theta: Tensor, index: int, step: Step, grad: Tensor | None = None, mask: Tensor | None = None
) -> None:
    """Apply a step to one parameter in place, with torch's operators.

    Args:
        theta: a contiguous parameter of any floating dtype.
        index: the index of the parameter, which defines its z and its rounding bits.
        step: the step.
        grad: a gradient of theta's shape; None leaves it out.
        mask: bool scalar on theta's device. If it is False, the gradient is left out, too.
    """
    update = ParameterUpdate(theta, index, step, grad, mask)
    noise.for_blocks(theta.numel(), theta.device, update.apply, kind=step.kind)


@torch.no_grad()
def apply_updates(parameters: Sequence[tuple[Tensor, int]], step: Step) -> None:
    """Apply a step without a gradient to several (parameter, index) on one device, with torch's operators.

    On a CPU, torch's threads share the blocks of all parameters.
    """
    # The z of small tensors is drawn before threads share it.
    for _, seed in step.directions:
        step.draws.small(seed)
    together, separate = [], []
    for p, index in parameters:
        at_once = is_small(p) and p.dtype not in HALF and len(step.directions) == 1 and noise.on_cpu(p.device)
        (together if at_once else separate).append((p, index))
    if together:
        ((coefficient, seed),) = step.directions
        z = step.draws.small(seed)
        torch._foreach_add_([p for p, _ in together], [z[i] for _, i in together], alpha=-coefficient)
    updates = [ParameterUpdate(p, index, step) for p, index in separate]
    if updates:
        noise.for_all_blocks(
            [u.flat.numel() for u in updates],
            updates[0].flat.device,
            lambda number, block, part: updates[number].apply(block, part),
            kind=step.kind,
        )


class ParameterUpdate:
    """The update of one parameter, which threads apply block by block."""

    def __init__(
        self,
        theta: Tensor,
        index: int,
        step: Step,
        grad: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> None:
        self.index = index
        self.step = step
        self.mask = mask
        self.flat = theta.data.view(-1)
        self.wide = torch.float32 if theta.dtype in HALF else theta.dtype
        # If the gradient's layout differs from the parameter's, reshape copies it.
        self.grad = None if grad is None else grad.reshape(-1)

    def apply(self, block: int, part: slice) -> None:
        """Update one block."""
        old = self.flat[part] if part.stop - part.start < self.flat.numel() else self.flat
        if old.dtype not in HALF:
            self.subtract(old, block, part, out=old)
            return
        new = self._buffer(old, "new")
        if noise.on_cpu(old.device):
            # On a CPU, operators on two dtypes allocate memory for conversions.
            self.subtract(new.copy_(old), block, part, out=new)
        else:
            self.subtract(old, block, part, out=new)
        realized = self.step.realized
        before, intended = (old.float(), new.clone()) if realized is not None else (None, None)
        if self.step.rounding == "stochastic":
            bits = noise.random_bits(self.step.seed, self.index, block, old.numel(), old.device)
            write_rounded(old, new, bits)
        else:
            old.copy_(new)
        if realized is not None:
            realized.add(self.index, block, before, intended, old.float())

    def subtract(self, base: Tensor, block: int, part: slice, *, out: Tensor) -> None:
        """Compute base - sum_k c_k z_k - c g."""
        directions = self.step.directions
        terms = len(directions) + (self.grad is not None)
        if terms == 1:
            coefficient = directions[0][0] if directions else self.step.gradient
            x = self._z(directions[0][1], block, part) if directions else self._gradient(part)
            _add(base, x, -coefficient, out=out)
        if terms < 2:
            return
        step = None
        for coefficient, seed in directions:
            if step is not None:
                # The next draw overwrites the memory of this one.
                step = step.clone()
                _add(step, self._z(seed, block, part), coefficient, out=step)
            else:
                z = self._z(seed, block, part)
                # The z of a small tensor is used again.
                step = torch.mul(z, coefficient, out=self._buffer(z, "z") if is_small(self.flat) else z)
        if self.grad is not None:
            _add(step, self._gradient(part), self.step.gradient, out=step)
        torch.sub(base, step, out=out)

    def _z(self, seed: int, block: int, part: slice) -> Tensor:
        if is_small(self.flat):
            z = self.step.draws.small(seed)[self.index].view(-1)[part]
        else:
            numel, kind = part.stop - part.start, self.step.draws.kind
            z = noise.direction(seed, self.index, block, numel, self.flat.device, kind)
        return self._widened(z, "wide")

    def _gradient(self, part: slice) -> Tensor:
        values = self.grad[part]
        if self.mask is not None:
            zero = torch.zeros(1, dtype=self.wide, device=values.device)
            return torch.where(self.mask, values, zero, out=self._buffer(values, "gradient"))
        return self._widened(values, "gradient")

    def _widened(self, values: Tensor, use: str) -> Tensor:
        return values if values.dtype == self.wide else self._buffer(values, use).copy_(values)

    def _buffer(self, like: Tensor, use: str) -> Tensor:
        return noise.workspace.buffer(like.numel(), like.device, self.wide, use)


def _add(base: Tensor, x: Tensor, factor: Coefficient, *, out: Tensor) -> None:
    """Compute base + factor x."""
    if isinstance(factor, Tensor):
        torch.addcmul(base, x, factor, out=out)
    else:
        torch.add(base, x, alpha=factor, out=out)
