"""MeZO: a step along one random direction, from two forward passes.

    g0     = ( L(theta + eps z) - L(theta - eps z) ) / (2 eps),   z ~ N(0, I)
    theta <- theta - lr g0 z

Malladi et al., arXiv 2305.17333, Algorithm 1.
Cost: 2 forwards, 0 backwards; 3 draws of z; 1 pass over theta.
Memory: one module's weights; a tied parameter's besides, from its first module to its last.
"""

from collections.abc import Iterable
from typing import Any

from torch import nn
from torch.distributed import ProcessGroup

from addax.optimizer import Loss, StepStats
from addax.zeroth_order import ZerothOrder


class MeZO(ZerothOrder):
    """MeZO as a torch optimizer; arguments as in `addax.Addax`."""

    label = "MeZO"
    closures = ("zo_loss",)

    def __init__(
        self,
        model: nn.Module,
        lr: float,
        *,
        eps: float = 1e-3,
        seed: int = 0,
        rounding: str = "stochastic",
        arithmetic: str = "exact",
        check: bool = True,
        params: Iterable[dict[str, Any]] | None = None,
        process_group: ProcessGroup | None = None,
    ) -> None:
        super().__init__(
            model,
            lr,
            eps=eps,
            seed=seed,
            rounding=rounding,
            arithmetic=arithmetic,
            check=check,
            params=params,
            process_group=process_group,
        )

    def step(self, *, zo_loss: Loss | None = None, fo_loss: Loss | None = None) -> StepStats:
        """One step; `zo_loss` returns the scalar mean loss of the batch and is called twice.

        Raises:
            ValueError: no `zo_loss`, an `fo_loss`, or a loss that is not a scalar.
        """
        self.validate_closures(zo_loss=zo_loss, fo_loss=fo_loss)
        estimate = self.estimate(zo_loss)
        return self.update(
            estimates=[(1.0, estimate)], reported_loss=estimate.loss, forwards=2, arithmetic=self.arithmetic
        )
