"""The statistics of one step."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class StepStats:
    """Statistics of one step. Scalars stay on the device, so reading one with `float` waits for the device.

    Attributes:
        loss: the first-order loss if there is one, otherwise the mean of the perturbed losses.
        projected_grad: g0, or None without a zeroth-order estimate.
        forwards: number of closure evaluations.
        backwards: number of backward passes; 0 if the step was skipped before one.
        skipped: bool scalar; True if a loss or projected_grad was not finite, or if a step had gradients only
            and none was finite, so that no parameter changed.
        masked_gradients: int64 scalar, the number of parameters that did not move because their gradient had
            an element that was not finite; None if the method does not check its gradients.
        realized_fraction: fraction of the intended step that 16-bit parameters took. It is measured at every
            `MEASURE_EVERY`-th step. It is None at other steps and if every learning rate is 0, and NaN if the
            intended step is zero.
    """

    loss: Tensor
    projected_grad: Tensor | None
    forwards: int
    backwards: int
    skipped: Tensor
    masked_gradients: Tensor | None = None
    realized_fraction: Tensor | None = None


def masked_among(finite: Sequence[Tensor], device: torch.device) -> Tensor:
    """Return the number of gradients that are not finite, an int64 scalar on a device.

    Args:
        finite: for each gradient, whether it is finite: bool scalars.
        device: the device of the result.
    """
    if not finite:
        return torch.zeros((), dtype=torch.int64, device=device)
    return (~torch.stack([flag.to(device) for flag in finite])).sum()
