"""The first-order half of a step: backward, and each gradient turned into an update as it appears.

Shared by Addax, IP-SGD and SGD, so that their equalities hold bit for bit.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.distributed import ProcessGroup

from addax.backward import LossScale, all_finite, gradient_hooks
from addax.distributed import mean_over_ranks
from addax.rounding import RealizedFraction, apply_update


def apply_step(
    learning_rates: Sequence[tuple[nn.Parameter, int, float]],
    step_seed: int,
    *,
    names: Mapping[nn.Parameter, str],
    loss: Tensor | None = None,
    fo_weight: float = 1.0,
    directions: Sequence[tuple[float, Tensor, int]] = (),
    is_finite: Tensor | None = None,
    scale: LossScale | None = None,
    rounding: str = "stochastic",
    realized: RealizedFraction | None = None,
    in_place: bool = True,
    group: ProcessGroup | None = None,
) -> None:
    """theta <- theta - lr ( sum_k w_k g0_k z_k + fo_weight g1 ), each tensor in one visit.

    Args:
        learning_rates: (parameter, index, lr) of every parameter to update.
        step_seed: seed of the rounding bits.
        names: of parameters, for error messages.
        loss: the first-order loss, not yet back-propagated; None for a zeroth-order step.
        fo_weight: the weight of g1, which is (1 - alpha) in Addax.
        directions: (weight w, g0, step seed of z) of each zeroth-order estimate.
        is_finite: bool scalar; where False nothing moves. Needed where nobody could look (a GPU).
        scale: the loss scale, for float16 parameters.
        rounding: see `apply_update`.
        realized: see `apply_update`.
        in_place: update during the backward pass; otherwise after it, with all gradients alive.
        group: ranks over which each gradient is averaged in its visit; the rest is the same on all.
    """
    table = {p: (index, lr) for p, index, lr in learning_rates}
    finite: list[Tensor] = []
    loss_scale = None

    def update(p: nn.Parameter, grad: Tensor | None) -> None:
        index, lr = table[p]
        if grad is not None:
            grad = mean_over_ranks(grad, group)
        clean = None if is_finite is None else is_finite.to(p.device)
        factor: Tensor | float = lr * fo_weight
        if grad is not None and loss_scale is not None:
            whole = all_finite(grad)
            finite.append(whole)
            clean = whole if clean is None else clean & whole
            factor = factor / loss_scale.to(p.device)
        if lr == 0:
            # Not even a zero is subtracted: it would turn a negative zero positive.
            return
        steps = []
        for weight, projected_grad, seed in directions:
            coefficient = projected_grad.to(p.device) * (lr * weight)
            steps.append((coefficient if clean is None else torch.where(clean, coefficient, 0), seed))
        apply_update(
            p,
            index,
            step_seed,
            directions=steps,
            grad=None if grad is None else (factor, grad),
            is_finite=clean,
            rounding=rounding,
            realized=realized,
        )

    visited: set[nn.Parameter] = set()
    if loss is not None:
        if scale is not None and any(p.dtype == torch.float16 for p in table):
            loss_scale = scale.begin(loss.device)
            loss = loss.float() * loss_scale
        kept: list[tuple[nn.Parameter, Tensor]] = []
        visit = update if in_place else lambda p, grad: kept.append((p, grad))
        with gradient_hooks({p: names[p] for p in table}, visit) as visited:
            loss.backward()
        for p, grad in kept:
            update(p, grad)
        if loss_scale is not None and finite:
            scale.end(finite)
    if directions:
        for p in table:
            if p not in visited:
                update(p, None)
