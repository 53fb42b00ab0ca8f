"""MeZO: a step along one random direction, from two forward passes.

    g0     = ( L(theta + eps z) - L(theta - eps z) ) / (2 eps),   z ~ N(0, I)
    theta <- theta - lr g0 z

Malladi et al., arXiv 2305.17333, Algorithm 1.
Cost: 2 forwards, 0 backwards; 3 draws of z; 1 pass over theta.
Memory: one module's weights; a tied parameter's in addition, from its first module to its last.
"""

from typing import Unpack

from torch import nn

from addax.optimizer import Loss, StepStats
from addax.validation import one_of
from addax.zeroth_order import ARITHMETICS, ZeroOrderOptions, ZerothOrder


class MeZO(ZerothOrder):
    """MeZO as a torch optimizer.

    Args:
        model: its trainable parameters are optimized.
        lr: learning rate.
        arithmetic: "exact", or "released" for the published procedure, which drifts in 16-bit.
        **options: eps, seed, rounding, check, params, process_group; see `ZeroOrderOptions`.

    Raises:
        ValueError: an argument out of range, or one of `Method`'s errors.

    >>> import torch
    >>> model = nn.Linear(4, 1)
    >>> x, y = torch.ones(8, 4), torch.zeros(8, 1)
    >>> opt = MeZO(model, lr=1e-2, eps=1e-3)
    >>> stats = opt.step(zo_loss=lambda: nn.functional.mse_loss(model(x), y))
    >>> stats.forwards, stats.backwards
    (2, 0)
    """

    label = "MeZO"
    closures = ("zo_loss",)

    def __init__(
        self, model: nn.Module, lr: float, *, arithmetic: str = "exact", **options: Unpack[ZeroOrderOptions]
    ) -> None:
        super().__init__(model, lr, **options)
        self.arithmetic = one_of(arithmetic, "arithmetic", ARITHMETICS)

    def step(self, *, zo_loss: Loss | None = None, fo_loss: Loss | None = None) -> StepStats:
        """Take one step; `zo_loss` returns the scalar mean loss of the batch and is called twice.

        Raises:
            ValueError: no `zo_loss`, an `fo_loss`, or a loss that is not a scalar.
        """
        self.validate_closures(zo_loss=zo_loss, fo_loss=fo_loss)
        estimate = self.estimate(zo_loss)
        return self.update(
            estimates=[(1.0, estimate)], reported_loss=estimate.loss, forwards=2, arithmetic=self.arithmetic
        )
