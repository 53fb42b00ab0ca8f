"""SPSA: a directional derivative from two perturbed losses; parameters are never moved.

    g0 = ( L(theta + eps z) - L(theta - eps z) ) / (2 eps),   z ~ N(0, I)

Spall 1992; Malladi et al., arXiv 2305.17333, Definition 1. The published procedure adds eps z to theta,
subtracts 2 eps z and adds eps z back, which drifts in 16 bits. Here theta + eps z is written into scratch
just before a module's forward, and the module's parameters point there while it runs (`addax.weight_swap`):
theta is only ever read, so it is the same bits whatever happens in between. An output that lies in scratch
is copied; a weight read while its module does not run is an error.

Cost: 2 forwards; 1 draw of z per forward.
Memory: one module's weights; a tied parameter's own scratch besides, from its first module to its last.
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
    """One zeroth-order estimate; with its seed it stands for the whole gradient estimate g0 z.

    Attributes:
        projected_grad: g0, a scalar on the loss's device: float32, or float64 if the loss is.
        loss: mean of the two perturbed losses, a scalar.
        step_seed: the seed that defines z.
    """

    projected_grad: Tensor
    loss: Tensor
    step_seed: int


class PerturbedForward:
    """Evaluates a model at theta + scale z without moving theta.

    Args:
        model: the model whose modules are hooked while a perturbed loss is evaluated.
        indices: trainable parameters and their indices, which define their z.
        check: watch the first estimate for weights that are read outside their own module's forward.
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
        """The loss where every forward of a module sees base + scale z in place of its parameters."""

        def make(p: nn.Parameter) -> Tensor:
            return self._perturbed(p, p.data if base is None else base[p], scale, step_seed, scratch)

        watch = ParameterAccessGuard(self.model, self.indices) if self.check else None
        stand_ins = SwappedWeights(self.owners, self.tied, make, scratch, watch)
        return scalar(without_autocast_cache(lambda: stand_ins.evaluate(loss)), "zo_loss")

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
        """The two-point estimate along z(step_seed), at `base` (theta where None), averaged over a group.

        Both evaluations see the same state of torch's generators, so that dropout cannot pose as a
        gradient.

        Raises:
            ValueError: the loss is not a scalar tensor, or reads a weight outside its module's forward.
        """
        # Each time, since a parameter may go to another module, as an adapter's or a wrapper's.
        self.owners = owners_of(self.model, self.indices)
        self.tied = tied_among(self.owners)
        states = generator_states(self.indices)
        scratch = Scratch(max(sum(p.numel() for p in own if p not in self.tied) for _, own in self.owners))
        plus = self._loss_at(loss, eps, step_seed, base, scratch)
        set_generator_states(states)
        minus = self._loss_at(loss, -eps, step_seed, base, scratch)
        self.check = False
        return two_point(plus, minus, eps, step_seed, group)


def two_point(
    plus: Tensor, minus: Tensor, eps: float, step_seed: int, group: ProcessGroup | None = None
) -> Estimate:
    """The estimate that two perturbed losses give, or the mean of what they give on a group's ranks."""
    projected_grad, loss = (plus - minus) / (2 * eps), (plus + minus) / 2
    if group is not None:
        # Differences are averaged, not losses: a mean of losses would round before they cancel.
        projected_grad, loss = mean_over_ranks(torch.stack([projected_grad, loss]), group)
    return Estimate(projected_grad, loss, step_seed)


def without_autocast_cache(loss: Callable[[], T]) -> T:
    """What a closure returns; an autocast around it neither lends it weights cast before nor keeps its own.

    Autocast casts each parameter once until its outermost region ends, wherever the parameter points later.
    """
    torch.clear_autocast_cache()
    try:
        return loss()
    finally:
        torch.clear_autocast_cache()


def scalar(value: object, name: str) -> Tensor:
    """A closure's loss in at least float32; `ValueError` if it is not a scalar tensor."""
    if not isinstance(value, Tensor) or value.numel() != 1:
        got = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(f"{name} must return a scalar tensor, not {got}")
    value = value.reshape(())
    return value if value.dtype == torch.float64 else value.float()


def generator_states(parameters: Mapping[nn.Parameter, int]) -> list[tuple[torch.device, Tensor]]:
    """States of the default generators of the CPU and of every CUDA device that holds parameters."""
    states = [(torch.device("cpu"), torch.get_rng_state())]
    cuda = sorted({p.device.index for p in parameters if p.device.type == "cuda"})
    return states + [(torch.device("cuda", i), torch.cuda.get_rng_state(i)) for i in cuda]


def set_generator_states(states: list[tuple[torch.device, Tensor]]) -> None:
    """Puts the default generators back to states read before."""
    for device, state in states:
        if device.type == "cpu":
            torch.set_rng_state(state)
        else:
            torch.cuda.set_rng_state(state, device)
