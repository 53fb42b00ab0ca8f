"""The fused kernels, if tensors have values; see `addax.kernels`.

triton is imported when a kernel runs for the first time, because CPU builds of torch do not ship it. The
prediction of memory follows steps on meta tensors, for which the kernels would do nothing.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def perturb(
    items: Sequence[tuple[Tensor, Tensor, int]], step_seed: int, scale: float, direction: str
) -> None:
    """Write out <- round(source + scale z); see `addax.kernels.perturb.perturb`."""
    if not items[0][0].is_meta:
        from addax.kernels.perturb import perturb as run

        run(items, step_seed, scale, direction)


def update(items: Sequence[tuple[Tensor, int, Tensor | None]], step_seed: int, **options: Any) -> None:
    """Apply a step to weights in place; see `addax.kernels.update.update`."""
    if not items[0][0].is_meta:
        from addax.kernels.update import update as run

        run(items, step_seed, **options)


def draw(
    step_seed: int, index: int, numel: int, device: torch.device, direction: str, first: int = 0
) -> Tensor:
    """Return z of some elements of a parameter: float32, shape (numel,); see `addax.kernels.draw.draw`."""
    if device.type == "meta":
        return torch.empty(numel, dtype=torch.float32, device=device)
    from addax.kernels.draw import draw as run

    return run(step_seed, index, torch.Size([numel]), device, direction, first=first)
