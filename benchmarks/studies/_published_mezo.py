"""A MeZO step with the costs of the released code, to be timed beside ours.

Four generations of z, each a fresh tensor a parameter from torch's generator on one thread, four passes
over theta, new tensors for products and sums, and a look at the host for projected_grad.
`addax.released` has the same arithmetic with our noise, drawn on all cores into reused scratch.
Described after the code published with Malladi et al., arXiv 2305.17333.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn


class PublishedMeZO:
    """theta <- theta - lr g0 z, with theta moved to theta + eps z, theta - eps z and back on the way."""

    def __init__(self, model: nn.Module, lr: float, eps: float = 1e-3) -> None:
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.lr = lr
        self.eps = eps
        self.seed = 0

    @torch.no_grad()
    def step(self, *, zo_loss: Callable[[], Tensor]) -> None:
        """One step; seeds torch's global generator four times and leaves it there."""
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
