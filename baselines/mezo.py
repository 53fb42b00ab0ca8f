"""MeZO: a zeroth-order step along one random direction, computed from two forward passes.

    g0     = ( L(theta + eps z) - L(theta - eps z) ) / (2 eps),   z ~ N(0, I)
    theta <- theta - lr g0 z

Malladi et al., arXiv 2305.17333, Algorithm 1.
Cost: 2 forwards, 0 backwards; 3 draws of z; 1 pass over theta.
Memory: one module's weights, plus each tied parameter's weights from its first module to its last.
"""

from typing import Unpack

from torch import nn

from addax.optimizer import Loss
from addax.step_stats import StepStats
from addax.validation import one_of
from addax.zeroth_order import ARITHMETICS, ZeroOrderOptions, ZerothOrder


class MeZO(ZerothOrder):
    """MeZO as a torch optimizer (Malladi et al., arXiv 2305.17333, Algorithm 1).

    Args:
        model: the model whose trainable parameters are optimized.
        lr: learning rate.
        arithmetic: "exact", or "released" for the published procedure, which drifts in 16-bit.
        **options: eps, seed, rounding, params, process_group; see `ZeroOrderOptions`.

    Raises:
        ValueError: if an argument is out of range, or for a reason listed under `Method`.

    Examples:
        >>> import torch
        >>> from torch import nn
        >>> model = nn.Linear(4, 1)
        >>> x, y = torch.ones(8, 4), torch.zeros(8, 1)
        >>> opt = MeZO(model, lr=1e-2, eps=1e-3)
        >>> stats = opt.step(zo_loss=lambda: nn.functional.mse_loss(model(x), y))
        >>> stats.forwards, stats.backwards
        (2, 0)
    """

    label = "MeZO"
    paper = "2305.17333"
    closures = ("zo_loss",)

    def __init__(
        self, model: nn.Module, lr: float, *, arithmetic: str = "exact", **options: Unpack[ZeroOrderOptions]
    ) -> None:
        super().__init__(model, lr, **options)
        self.arithmetic = one_of(arithmetic, "arithmetic", ARITHMETICS)

    def step(self, *, zo_loss: Loss | None = None, fo_loss: Loss | None = None) -> StepStats:
        """Take one step.

        Args:
            zo_loss: returns the scalar mean loss of the batch. It is called twice, without gradients.
            fo_loss: not accepted.

        Returns:
            The statistics of the step.

        Raises:
            ValueError: if `zo_loss` is missing, if `fo_loss` is given, or if the loss is not a scalar.
        """
        estimate = self.estimate(zo_loss)
        return self.update(
            estimates=[(1.0, estimate)], reported_loss=estimate.loss, forwards=2, arithmetic=self.arithmetic
        )
