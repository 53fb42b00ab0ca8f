"""Single updates of one tensor."""

from collections.abc import Sequence

from torch import Tensor

from addax.rounding import RealizedFraction
from addax.small_tensors import KeptNoise
from addax.update import Step, apply_update


def update(
    theta: Tensor,
    index: int,
    step_seed: int,
    *,
    directions: Sequence[tuple[float, int]] = (),
    kind: str = "normal",
    grad: tuple[float, Tensor] | None = None,
    mask: Tensor | None = None,
    rounding: str = "stochastic",
    realized: RealizedFraction | None = None,
) -> None:
    """Apply theta <- theta - sum_k c_k z(seed_k) - c g; see `addax.update`."""
    factor, gradient = grad or (1.0, None)
    step = Step(step_seed, list(directions), factor, KeptNoise({theta: index}, kind), rounding, realized)
    apply_update(theta, index, step, gradient, mask)
