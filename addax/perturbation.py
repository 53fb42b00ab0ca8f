"""Perturbation: the weights base + scale z of one evaluation, computed when a module needs them."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from addax import fused, noise, small_tensors
from addax.rounding import HALF
from addax.scratch import Scratch
from addax.small_tensors import KeptNoise


class Perturbation:
    """Computes perturbed weights, rounded to the dtype of the parameter.

    Args:
        draws: draws z.
        step_seed: seed of z.
        scale: factor of z: eps or -eps.
        base: the point to perturb, by parameter. None means theta.
        scratch: the memory for perturbed weights, except those of small tensors.
    """

    def __init__(
        self,
        draws: KeptNoise,
        step_seed: int,
        scale: float,
        base: Mapping[nn.Parameter, Tensor] | None,
        scratch: Scratch,
    ) -> None:
        self.draws = draws
        self.step_seed = step_seed
        self.scale = scale
        self.base = base
        self.scratch = scratch

    def __call__(self, p: nn.Parameter, theta: Tensor, *, tied: bool) -> Tensor:
        """Return the perturbed weights of one parameter, in memory that `scratch.release` takes back.

        Args:
            p: the parameter.
            theta: its values.
            tied: whether several modules use it, so that the weights outlive the first one.
        """
        point = theta if self.base is None else self.base[p]
        out = self.scratch.take(point, key=p if tied else None)
        source, target = point.view(-1), out.view(-1)
        index = self.draws.indices[p]
        if noise.uses_kernels(point.device):
            fused.perturb([(source, target, index)], self.step_seed, self.scale, self.draws.kind)
            return out

        def work(block: int, part: slice) -> None:
            z = noise.direction(
                self.step_seed, index, block, part.stop - part.start, point.device, self.draws.kind
            )
            # The sum is computed in the wider dtype and rounded once.
            if point.dtype in HALF and noise.on_cpu(point.device):
                # On a CPU, operators on two dtypes allocate memory for conversions.
                wide = noise.workspace.buffer(z.numel(), z.device, z.dtype, "new")
                target[part].copy_(wide.copy_(source[part]).add_(z, alpha=self.scale))
            else:
                torch.add(source[part], z, alpha=self.scale, out=target[part])

        noise.for_blocks(target.numel(), point.device, work, kind=self.draws.kind)
        return out

    def small(self, parameters: Sequence[nn.Parameter], thetas: Sequence[Tensor]) -> list[Tensor]:
        """Return the perturbed weights of all small parameters, in new memory."""
        indices = [self.draws.indices[p] for p in parameters]
        points = thetas if self.base is None else [self.base[p] for p in parameters]
        # The closure may run in inference mode, but the memory is used outside of it too.
        with torch.inference_mode(False):
            if not all(noise.uses_kernels(p.device) for p in points):
                z = self.draws.small(self.step_seed)
                return small_tensors.perturbed(points, [z[i] for i in indices], self.scale)
            outs: dict[int, Tensor] = {}
            for group in small_tensors.alike(points):
                outs |= zip(group, small_tensors.new_like([points[n] for n in group]), strict=True)
                items = [(points[n], outs[n], indices[n]) for n in group]
                fused.perturb(items, self.step_seed, self.scale, self.draws.kind)
            return [outs[n] for n in range(len(points))]
