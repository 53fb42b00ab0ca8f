"""SPSA: a directional derivative from two perturbed losses, computed without moving the parameters.

    g0 = ( L(theta + eps z) - L(theta - eps z) ) / (2 eps),   z ~ N(0, I)

Spall 1992; Malladi et al., arXiv 2305.17333, Definition 1. The published procedure adds eps z to theta,
subtracts 2 eps z, and adds eps z back, which drifts in 16-bit. This implementation writes theta + eps z into
scratch memory just before a module's forward, and the module's parameters point there while the module runs
(`addax.weight_swap`). theta is only read, so it stays bit-identical even if the evaluation fails. Outputs
that share memory with scratch are copied. Reading a weight while its module is not running is an error.

Cost: 2 forwards; 1 draw of z per forward.
Memory: one module's weights, plus each tied parameter's weights from its first module to its last.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.distributed import ProcessGroup

from addax import noise
from addax.access_guard import ParameterAccessGuard
from addax.distributed import mean_over_ranks
from addax.scratch import Scratch
from addax.weight_swap import SwappedWeights, owners_of, tied_among

T = TypeVar("T")


@dataclass(frozen=True)
class Estimate:
    """One zeroth-order estimate. Together with its seed, it represents the gradient estimate g0 z.

    Attributes:
        projected_grad: g0, a scalar on the loss's device; float64 if the loss is float64, otherwise float32.
        loss: mean of the two perturbed losses, a scalar.
        step_seed: the seed that defines z.
    """

    projected_grad: Tensor
    loss: Tensor
    step_seed: int


class PerturbedForward:
    """Evaluates a model at theta + scale z without moving theta.

    Args:
        model: the model. Its modules have hooks while a perturbed loss is evaluated.
        indices: the trainable parameters and their indices, which define z.
        check: whether the first estimate rejects weights that are read outside their module's forward.
    """

    def __init__(self, model: nn.Module, indices: Mapping[nn.Parameter, int], *, check: bool = True) -> None:
        self.model = model
        self.indices = indices
        self.check = check

    def _loss_at(
        self,
        loss: Callable[[], Tensor],
        scale: float,
        step_seed: int,
        base: Mapping[nn.Parameter, Tensor] | None,
        scratch: Scratch,
    ) -> Tensor:
        """Return the loss at base + scale z, which every module reads instead of its parameters."""

        def perturb(p: nn.Parameter) -> Tensor:
            return self._perturbed(p, p.data if base is None else base[p], scale, step_seed, scratch)

        guard = ParameterAccessGuard(self.model, self.indices) if self.check else None
        swapped = SwappedWeights(self.owners, self.tied, perturb, scratch, guard)
        return scalar(without_autocast_cache(lambda: swapped.evaluate(loss)), "zo_loss")

    def _perturbed(
        self, p: nn.Parameter, point: Tensor, scale: float, step_seed: int, scratch: Scratch
    ) -> Tensor:
        out = scratch.take(p, alone=p in self.tied)
        source, target = point.view(-1), out.view(-1)
        index = self.indices[p]

        def work(block: int, part: slice) -> None:
            z = noise.normal(step_seed, index, block, part.stop - part.start, p.device)
            if p.dtype == torch.float32:
                torch.add(source[part], z, alpha=scale, out=target[part])
                return
            if p.dtype == torch.float64:
                z = z.double()
            target[part] = z.mul_(scale).add_(source[part])

        noise.for_blocks(target.numel(), p.device, work)
        return out

    @torch.no_grad()
    def estimate(
        self,
        loss: Callable[[], Tensor],
        eps: float,
        step_seed: int,
        base: Mapping[nn.Parameter, Tensor] | None = None,
        group: ProcessGroup | None = None,
    ) -> Estimate:
        """Return the two-point estimate along z(step_seed).

        Both evaluations start from the same state of torch's generators, so they draw the same dropout masks.

        Args:
            loss: returns a scalar loss.
            eps: perturbation scale.
            step_seed: seed of z.
            base: the point of the estimate, by parameter. None means theta.
            group: ranks over which the estimate is averaged. None means this process only.

        Raises:
            ValueError: if the loss is not a scalar tensor, or if it reads a weight outside the forward of the
                weight's module.
        """
        # Recompute the owners each time: an adapter or a wrapper may move a parameter to another module.
        self.owners = owners_of(self.model, self.indices)
        self.tied = tied_among(self.owners)
        states = generator_states(self.indices)
        scratch = Scratch(
            max(sum(p.numel() for p in params if p not in self.tied) for _, params in self.owners)
        )
        plus = self._loss_at(loss, eps, step_seed, base, scratch)
        set_generator_states(states)
        minus = self._loss_at(loss, -eps, step_seed, base, scratch)
        self.check = False
        return two_point(plus, minus, eps, step_seed, group)


def two_point(
    plus: Tensor, minus: Tensor, eps: float, step_seed: int, group: ProcessGroup | None = None
) -> Estimate:
    """Return the estimate from two perturbed losses, averaged over the ranks of a group if there is one."""
    projected_grad, loss = (plus - minus) / (2 * eps), (plus + minus) / 2
    if group is not None:
        # Average the differences. Averaged losses would be rounded before they are subtracted.
        projected_grad, loss = mean_over_ranks(torch.stack([projected_grad, loss]), group)
    return Estimate(projected_grad, loss, step_seed)


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


def generator_states(parameters: Mapping[nn.Parameter, int]) -> list[tuple[torch.device, Tensor]]:
    """Return the states of the default generators of the CPU and of every CUDA device with parameters."""
    states = [(torch.device("cpu"), torch.get_rng_state())]
    cuda = sorted({p.device.index for p in parameters if p.device.type == "cuda"})
    return states + [(torch.device("cuda", i), torch.cuda.get_rng_state(i)) for i in cuda]


def set_generator_states(states: list[tuple[torch.device, Tensor]]) -> None:
    """Restore the states that `generator_states` returned."""
    for device, state in states:
        if device.type == "cpu":
            torch.set_rng_state(state)
        else:
            torch.cuda.set_rng_state(state, device)
