"""A MeZO step with the costs of the released code, for comparison with ours.

A step draws z four times, each time as a new tensor per parameter from torch's generator on one thread. It
makes four passes over theta, allocates new tensors for products and sums, and synchronizes with the host for
projected_grad. `addax.released` has the same arithmetic, but with our noise, which is drawn on all cores into
reused scratch memory.

Source: the code published with Malladi et al., arXiv 2305.17333.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn


class PublishedMeZO:
    """MeZO as released: theta moves to theta + eps z, to theta - eps z, and back, then by -lr g0 z."""

    def __init__(self, model: nn.Module, lr: float, eps: float = 1e-3) -> None:
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.lr = lr
        self.eps = eps
        self.seed = 0

    @torch.no_grad()
    def step(self, *, zo_loss: Callable[[], Tensor]) -> None:
        """Take one step; this seeds torch's global generator four times and does not restore it."""
        self.seed += 1
        self._add(self.eps)
        plus = float(zo_loss())
        self._add(-2 * self.eps)
        minus = float(zo_loss())
        self._add(self.eps)
        self._add(-self.lr * (plus - minus) / (2 * self.eps))

    def _add(self, scale: float) -> None:
        torch.manual_seed(self.seed)
        for p in self.parameters:
            z = torch.normal(0.0, 1.0, p.shape, dtype=p.dtype, device=p.device)
            p.data = p.data + scale * z
