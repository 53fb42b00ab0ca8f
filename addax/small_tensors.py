"""Small tensors: biases, norms, and other tensors whose z is cheap to keep for one step.

A call of a torch operator takes longer than its work on a small tensor. The z of all small tensors is
therefore drawn once per step and kept until the step ends, and one call perturbs or updates all of them. All
other tensors draw z anew each time, because keeping it would double the memory of the model.

Memory: z of the small tensors in float32, and their perturbed values.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from addax import noise

#: On a CPU, tensors with at most this many elements are small.
SMALL = 3 << 10
#: On other devices, a launch takes as long as the work on more elements.
SMALL_ON_GPU = 1 << 16
# Parts of a common memory begin at multiples of this many elements, as the allocator's memory does.
_ALIGNMENT = 256


def is_small(p: Tensor) -> bool:
    """Return whether a tensor is small."""
    return p.numel() <= (SMALL if noise.on_cpu(p.device) else SMALL_ON_GPU)


def new_like(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return uninitialized tensors like the given ones, which are on one device and of one dtype."""
    sizes = [-(-t.numel() // _ALIGNMENT) * _ALIGNMENT for t in tensors]
    memory = torch.empty(sum(sizes), dtype=tensors[0].dtype, device=tensors[0].device).split(sizes)
    return [part[: t.numel()].view(t.shape) for part, t in zip(memory, tensors, strict=True)]


def alike(tensors: Sequence[Tensor]) -> list[list[int]]:
    """Return the numbers of the tensors, grouped by device and dtype."""
    groups: dict[tuple[torch.device, torch.dtype], list[int]] = {}
    for number, tensor in enumerate(tensors):
        groups.setdefault((tensor.device, tensor.dtype), []).append(number)
    return list(groups.values())


class KeptNoise:
    """Draws the z of parameters, and keeps that of the small ones until `clear`.

    Args:
        indices: the parameters and their indices.
        kind: one of `addax.noise.DIRECTIONS`.
    """

    def __init__(self, indices: Mapping[nn.Parameter, int], kind: str) -> None:
        self.indices = indices
        self.kind = kind
        self._kept: dict[int, dict[int, Tensor]] = {}

    def clear(self) -> None:
        """Forget everything that was drawn."""
        self._kept.clear()

    def small(self, step_seed: int) -> Mapping[int, Tensor]:
        """Return the z of every small parameter by its index: float32, in the parameter's shape."""
        kept = self._kept.get(step_seed)
        if kept is None:
            small = [(p, index) for p, index in self.indices.items() if is_small(p)]
            kept = self._kept[step_seed] = self._draw(step_seed, small)
        return kept

    def _draw(self, step_seed: int, small: Sequence[tuple[nn.Parameter, int]]) -> dict[int, Tensor]:
        by_device: dict[torch.device, list[tuple[nn.Parameter, int]]] = {}
        for p, index in small:
            by_device.setdefault(p.device, []).append((p, index))
        drawn: dict[int, Tensor] = {}
        # The closure may run in inference mode, but z is used outside of it too.
        with torch.inference_mode(False), torch.no_grad():
            for device, parameters in by_device.items():
                sizes = [(index, p.numel()) for p, index in parameters]
                z = noise.draw_first_blocks(step_seed, sizes, device, self.kind)
                drawn |= {index: part.view(p.shape) for (p, index), part in zip(parameters, z, strict=True)}
        return drawn


def perturbed(thetas: Sequence[Tensor], z: Sequence[Tensor], scale: float) -> list[Tensor]:
    """Return theta + scale z of several tensors, rounded to the dtype of theta."""
    sums = torch._foreach_add(thetas, z, alpha=scale)
    return [
        total if total.dtype == theta.dtype else total.to(theta.dtype)
        for total, theta in zip(sums, thetas, strict=True)
    ]
