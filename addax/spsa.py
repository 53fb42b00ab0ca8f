"""SPSA: estimate the gradient along one random direction with two forward passes.

    g0 = ( L(theta + eps z) - L(theta - eps z) ) / (2 eps)

theta never moves: each module reads perturbed weights during its forward (`addax.weight_swap`). Both
evaluations start from the same buffers and generators (`addax.forward_state`), and their losses are computed
in float32 (`addax.loss_precision`).
Malladi et al., arXiv 2305.17333, Definition 1. Cost: 2 forwards, 1 draw of z per forward.
Memory: the weights of the smallest module that reads them, plus each tied parameter's weights from its first
module to its last, plus the small parameters and their z, plus a copy of the model's buffers.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.distributed import ProcessGroup

from addax.distributed import mean_over_ranks
from addax.forward_state import ForwardState
from addax.loss_precision import LossPrecision
from addax.perturbation import Perturbation
from addax.scratch import Scratch
from addax.small_tensors import KeptNoise
from addax.swap_context import is_compiled_outside
from addax.weight_swap import WeightSwap


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
        draws: draws z.
    """

    def __init__(self, model: nn.Module, draws: KeptNoise) -> None:
        self.model = model
        self.draws = draws
        self.swap = WeightSwap(model, draws.indices)
        self.precision = LossPrecision(model)
        # The number of elements of perturbed weights that the last estimate had in use at once.
        self._most_in_use = 0

    @torch.no_grad()
    def estimate(
        self,
        loss: Callable[[], Tensor],
        eps: float,
        step_seed: int,
        base: Mapping[nn.Parameter, Tensor] | None = None,
        group: ProcessGroup | None = None,
        state: ForwardState | None = None,
    ) -> Estimate:
        """Return the two-point estimate along z(step_seed).

        Both evaluations start from the same forward state, so they draw the same dropout masks. The estimate
        leaves the state that the second evaluation, at theta - eps z, leaves.

        Args:
            loss: returns a scalar loss.
            eps: perturbation scale.
            step_seed: seed of z.
            base: the point of the estimate, by parameter. None means theta.
            group: ranks over which the estimate is averaged. None means this process only.
            state: the forward state to start from. None means the current state.

        Raises:
            ValueError: if the loss is not a scalar tensor or was computed in 16-bit, if it runs the model
                where weights cannot be swapped, or if it reseeds torch's generator at random.
        """
        if state is None:
            state = ForwardState(self.model, loss)
        else:
            state.restore()
        try:
            losses = self._losses(loss, eps, step_seed, base, state)
        except Exception as error:
            if self.swap.whole or not is_compiled_outside(error):
                raise
            # No hook runs inside a compiled function, so all weights have to be swapped before it begins.
            self.swap.whole = True
            state.restore()
            losses = self._losses(loss, eps, step_seed, base, state)
        return two_point(*losses, eps, step_seed, group)

    def _losses(
        self,
        loss: Callable[[], Tensor],
        eps: float,
        step_seed: int,
        base: Mapping[nn.Parameter, Tensor] | None,
        state: ForwardState,
    ) -> tuple[Tensor, Tensor]:
        """Return the losses at base + eps z and at base - eps z."""
        with self.swap.attached():
            scratch = Scratch(max(self.swap.structure.largest_unit(), self._most_in_use))

            def at(scale: float) -> Tensor:
                perturb = Perturbation(self.draws, step_seed, scale, base, scratch)

                def evaluate() -> Tensor:
                    return self.swap.evaluate(loss, perturb, scratch)

                return self.precision.evaluate(evaluate, state, self.swap)

            plus, seed = at(eps), torch.initial_seed()
            state.restore()
            minus = at(-eps)
            if torch.initial_seed() != seed:
                raise ValueError(
                    "zo_loss gave torch's generator two different seeds in its two evaluations (torch.seed), "
                    "so they cannot be compared: remove the call, or use torch.manual_seed with a fixed seed"
                )
        self._most_in_use = scratch.most
        return plus, minus


def two_point(
    plus: Tensor, minus: Tensor, eps: float, step_seed: int, group: ProcessGroup | None = None
) -> Estimate:
    """Return the estimate from two perturbed losses, averaged over the ranks of a group if there is one."""
    projected_grad, loss = (plus - minus) / (2 * eps), (plus + minus) / 2
    if group is not None:
        # Average the differences. Averaged losses would be rounded before they are subtracted.
        projected_grad, loss = mean_over_ranks(torch.stack([projected_grad, loss]), group)
    return Estimate(projected_grad, loss, step_seed)
