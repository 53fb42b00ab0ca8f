"""Addax: a zeroth-order estimate on long examples mixed with an in-place first-order step on short ones.

    g0     = ( L(theta + eps z; B0) - L(theta - eps z; B0) ) / (2 eps),   z ~ N(0, I)
    g1     = grad L(theta; B1)
    theta <- theta - lr ( alpha g0 z + (1 - alpha) g1 )

B0 is drawn from the examples longer than L_T tokens, B1 from the others (`addax.assignment`); Addax-WA draws
both from all examples. alpha = 1 with `zo_loss` alone is MeZO, alpha = 0 with `fo_loss` alone is IP-SGD.
Li et al., arXiv 2410.06441, Algorithm 1.

Cost: 3 forwards, 1 backward; 3 draws of z; 1 pass over theta, during the backward.
Memory: the larger of one module's weights, tied parameters' besides (perturbation), and one tensor's gradient
with B1's activations.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.distributed import ProcessGroup

from addax.backward import differentiable
from addax.optimizer import Loss, StepStats
from addax.validation import within
from addax.zeroth_order import ZerothOrder


class Addax(ZerothOrder):
    """Addax as a torch optimizer.

    Args:
        model: its trainable parameters are optimised.
        lr: learning rate.
        alpha: weight of the zeroth-order part, in [0, 1].
        eps: perturbation scale.
        seed: defines the directions of all steps.
        rounding: how 16-bit parameters are written: "stochastic" or "nearest".
        arithmetic: "exact", or "released" for the published procedure, which drifts in 16 bits.
        check: watch the first zeroth-order estimate for weights that are read outside their own
            module's forward, which "exact" cannot perturb there; `ValueError` names the first one.
        params: parameter groups; see `Method`.
        process_group: ranks that share the work; see `Method`.

    >>> model = nn.Linear(4, 1)
    >>> x, y = torch.ones(8, 4), torch.zeros(8, 1)
    >>> opt = Addax(model, lr=1e-2, alpha=1e-3)
    >>> loss = lambda: nn.functional.mse_loss(model(x), y)
    >>> stats = opt.step(zo_loss=loss, fo_loss=loss)
    >>> stats.forwards, stats.backwards
    (3, 1)
    """

    label = "Addax"
    closures = ("zo_loss", "fo_loss")

    def __init__(
        self,
        model: nn.Module,
        lr: float,
        *,
        alpha: float = 1e-3,
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
        within(alpha, "alpha", low=0, high=1)
        self.alpha = alpha

    def step(self, *, zo_loss: Loss | None = None, fo_loss: Loss | None = None) -> StepStats:
        """One step of Algorithm 1; a part whose closure is not given counts as zero.

        Args:
            zo_loss: returns the scalar mean loss of B0; called twice without gradient.
            fo_loss: returns the scalar mean loss of B1; called once and back-propagated.

        Raises:
            ValueError: no closure, one that alpha gives no weight, or a loss that is not a scalar.
        """
        self.validate_closures(zo_loss=zo_loss, fo_loss=fo_loss)
        if zo_loss is not None and self.alpha == 0:
            raise ValueError("alpha = 0 gives zo_loss no weight: give fo_loss only")
        if fo_loss is not None and self.alpha == 1:
            raise ValueError("alpha = 1 gives fo_loss no weight: give zo_loss only")
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
