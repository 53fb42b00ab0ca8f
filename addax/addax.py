"""Addax: mix a zeroth-order estimate on long examples with an in-place first-order step on short ones.

    g0     = ( L(theta + eps z; B0) - L(theta - eps z; B0) ) / (2 eps),   z ~ N(0, I)
    g1     = grad L(theta; B1)
    theta <- theta - lr ( alpha g0 z + (1 - alpha) g1 )

B0 is drawn from the examples longer than L_T tokens and B1 from the others (`addax.assignment`). Addax-WA
draws both from all examples. alpha = 1 with only `zo_loss` is MeZO; alpha = 0 with only `fo_loss` is IP-SGD.
Li et al., arXiv 2410.06441, Algorithm 1.

Cost: 3 forwards, 1 backward; 3 draws of z; 1 pass over theta, during the backward.
Memory: the larger of the zeroth-order part (one module's weights, plus the weights of tied parameters) and
the first-order part (B1's activations, plus one tensor's gradient).
"""

from typing import Unpack

import torch
from torch import nn

from addax.backward import differentiable
from addax.optimizer import Loss
from addax.step_stats import StepStats
from addax.validation import one_of, within
from addax.zeroth_order import ARITHMETICS, ZeroOrderOptions, ZerothOrder


class Addax(ZerothOrder):
    """Addax as a torch optimizer (Li et al., arXiv 2410.06441, Algorithm 1).

    alpha = 1 with only `zo_loss` is MeZO; alpha = 0 with only `fo_loss` is IP-SGD.

    Args:
        model: the model whose trainable parameters are optimized.
        lr: learning rate.
        alpha: weight of the zeroth-order part, in [0, 1].
        arithmetic: "exact", or "released" for the published procedure, which drifts in 16-bit.
        **options: eps, seed, rounding, params, process_group; see `ZeroOrderOptions`.

    Raises:
        ValueError: if an argument is out of range, or for a reason listed under `Method`.

    Examples:
        >>> import torch
        >>> from torch import nn
        >>> model = nn.Linear(4, 1)
        >>> x, y = torch.ones(8, 4), torch.zeros(8, 1)
        >>> opt = Addax(model, lr=1e-2, alpha=1e-3)
        >>> loss = lambda: nn.functional.mse_loss(model(x), y)
        >>> stats = opt.step(zo_loss=loss, fo_loss=loss)
        >>> stats.forwards, stats.backwards
        (3, 1)
    """

    label = "Addax"
    paper = "2410.06441"
    closures = ("zo_loss", "fo_loss")

    def __init__(
        self,
        model: nn.Module,
        lr: float,
        *,
        alpha: float = 1e-3,
        arithmetic: str = "exact",
        **options: Unpack[ZeroOrderOptions],
    ) -> None:
        super().__init__(model, lr, **options)
        within(alpha, "alpha", low=0, high=1)
        self.alpha = alpha
        self.arithmetic = one_of(arithmetic, "arithmetic", ARITHMETICS)

    def next_closures(self) -> tuple[str, ...]:
        """Return the names of both closures, except the one that alpha gives zero weight."""
        unweighted = {0: "zo_loss", 1: "fo_loss"}.get(self.alpha)
        return tuple(name for name in self.closures if name != unweighted)

    def step(self, *, zo_loss: Loss | None = None, fo_loss: Loss | None = None) -> StepStats:
        """Take one step of Algorithm 1. If a closure is not given, its part of the update is zero.

        Args:
            zo_loss: returns the scalar mean loss of B0. It is called twice, without gradients.
            fo_loss: returns the scalar mean loss of B1. It is called once, and its result is back-propagated.

        Returns:
            The statistics of the step.

        Raises:
            ValueError: if no closure is given, if alpha gives a closure zero weight, or if a loss is not
                a scalar.
        """
        if zo_loss is not None and self.alpha == 0:
            raise ValueError("alpha=0 gives zo_loss zero weight: pass only fo_loss")
        if fo_loss is not None and self.alpha == 1:
            raise ValueError("alpha=1 gives fo_loss zero weight: pass only zo_loss")
        estimate = None if zo_loss is None else self.estimate(zo_loss)
        loss = None
        if fo_loss is not None:
            with torch.enable_grad():
                loss = differentiable(fo_loss())
        return self.update(
            estimates=[] if estimate is None else [(self.alpha, estimate)],
            loss=loss,
            reported_loss=None if loss is not None else estimate.loss,
            fo_weight=1 - self.alpha,
            forwards=2 * (estimate is not None) + (loss is not None),
            arithmetic=self.arithmetic,
        )
