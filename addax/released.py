"""The published arithmetic, for comparison: it moves parameters in their own dtype and moves them back.

    theta <- theta + eps z;  L+;   theta <- theta - 2 eps z;  L-;   theta <- theta + eps z
    theta <- theta - lr (w g0 z)

z and every product and sum are rounded to nearest in theta's dtype. In 16-bit, the three moves do not cancel,
and small updates are lost to rounding (see `addax.rounding`).
Follows the released code of Malladi et al., arXiv 2305.17333. Cost: 4 draws of z, 4 passes over theta.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.distributed import ProcessGroup

from addax import noise
from addax.backward import all_finite, gradient_hooks
from addax.distributed import mean_over_ranks
from addax.forward_state import ForwardState
from addax.loss_precision import LossPrecision
from addax.rounding import HALF
from addax.small_tensors import KeptNoise
from addax.spsa import Estimate, two_point
from addax.update import Step


@torch.no_grad()
def move(p: nn.Parameter, draws: KeptNoise, step_seed: int, *scales: Tensor | float) -> None:
    """Apply p <- p + s_n ( ... (s_1 z)). Round z, each product, and the sum to p's dtype."""
    index = draws.indices[p]
    flat = p.data.view(-1)
    wide = torch.promote_types(p.dtype, torch.float32)

    def work(block: int, part: slice) -> None:
        z = noise.direction(step_seed, index, block, part.stop - part.start, p.device, draws.kind)
        z = z.to(p.dtype)
        for scale in scales:
            # Multiply in float32. A GPU would first round a tensor scale to z's dtype, and the
            # published scale is a Python number.
            z = (z.to(wide) * scale).to(p.dtype)
        flat[part].add_(z)

    noise.for_blocks(flat.numel(), p.device, work, kind=draws.kind)


@torch.no_grad()
def estimate(
    model: nn.Module,
    draws: KeptNoise,
    loss: Callable[[], Tensor],
    eps: float,
    step_seed: int,
    group: ProcessGroup | None = None,
) -> Estimate:
    """Return the two-point estimate by moving theta; see `addax.spsa.PerturbedForward.estimate`."""
    state, precision = ForwardState(model, loss), LossPrecision(model)
    for p in draws.indices:
        move(p, draws, step_seed, eps)
    plus = precision.evaluate(loss, state)
    state.restore()
    for p in draws.indices:
        move(p, draws, step_seed, -2 * eps)
    minus = precision.evaluate(loss, state)
    for p in draws.indices:
        move(p, draws, step_seed, eps)
    return two_point(plus, minus, eps, step_seed, group)


def apply_step(
    learning_rates: Sequence[tuple[nn.Parameter, int, float]],
    step: Step,
    *,
    names: Mapping[nn.Parameter, str],
    loss: Tensor | None = None,
    fo_weight: float = 1.0,
    directions: Sequence[tuple[float, Tensor, int]] = (),
    is_finite: Tensor | None = None,
    group: ProcessGroup | None = None,
) -> list[Tensor]:
    """Apply the published update in each parameter's dtype; see `addax.backward.apply_step`."""
    table = {p: (index, lr) for p, index, lr in learning_rates}
    finite: dict[int, Tensor] = {}

    @torch.no_grad()
    def visit(p: nn.Parameter, grad: Tensor) -> None:
        grad = mean_over_ranks(grad, group).to(p.dtype)
        clean = finite[table[p][0]] = all_finite(grad)
        if is_finite is not None:
            clean = clean & is_finite.to(p.device)
        p.data.sub_(torch.where(clean, grad, 0) * (table[p][1] * fo_weight))

    if loss is not None:
        with gradient_hooks({p: names[p] for p in table}, visit):
            loss.backward()
    realized = step.realized
    for weight, projected_grad, seed in directions:
        for p, (index, lr) in table.items():
            slope = projected_grad.to(p.device) * weight
            if is_finite is not None:
                slope = torch.where(is_finite.to(p.device), slope, 0)
            before = p.detach().float() if realized is not None and p.dtype in HALF else None
            move(p, step.draws, seed, slope, -lr)
            if before is not None:
                z = noise.draw(seed, index, p.shape, p.device, step.draws.kind)
                intended = before - lr * slope * z
                realized.add(index, 0, before.view(-1), intended.view(-1), p.detach().float().view(-1))
    return [finite[index] for index in sorted(finite)]
