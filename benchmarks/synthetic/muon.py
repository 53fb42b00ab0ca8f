"""Muon: orthogonalized momentum (Jordan et al. 2024, kellerjordan.github.io/posts/muon).

    m     <- momentum m + g;   u = orthogonal factor of (g + momentum m)
    theta <- theta - lr sqrt(max(1, rows / columns)) u

torch.optim.Muon computes u in bfloat16, one matrix at a time. On a CPU that takes as long as the backward
pass of a nano model. This version uses float32 and processes all matrices of a shape together.
"""

from collections.abc import Iterable

import torch

# The quintic iteration of the post above, after which singular values are between 0.7 and 1.2.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5


def orthogonal(matrices: torch.Tensor) -> torch.Tensor:
    """Return the approximate orthogonal factors of a stack of matrices, (n, rows, columns)."""
    a, b, c = COEFFICIENTS
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / (x.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """The Muon optimizer, for matrices only.

    Args:
        params: tensors with two dimensions.
        lr: spectral norm of a step on a square matrix.
        momentum: decay factor of the accumulated gradients.
    """

    def __init__(self, params: Iterable[torch.Tensor], lr: float, momentum: float = 0.95):
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self) -> None:
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            shapes: dict[torch.Size, list[torch.Tensor]] = {}
            for p in group["params"]:
                if p.grad is not None:
                    shapes.setdefault(p.shape, []).append(p)
            for shape, same in shapes.items():
                state = self.state[same[0]]
                grads = torch.stack([p.grad for p in same])
                sums = state.setdefault("sums", torch.zeros_like(grads))
                sums.mul_(group["momentum"]).add_(grads)
                updates = orthogonal(grads.add_(sums, alpha=group["momentum"]))
                scale = group["lr"] * max(1.0, shape[0] / shape[1]) ** 0.5
                for p, u in zip(same, updates, strict=True):
                    p.sub_(u, alpha=scale)
