"""Variance of the two-point estimate along random directions, against its exact value.

For small eps, the estimate of a gradient g of d elements is

    ghat = (g . z) z

Let the elements of z be independent with E[z] = E[z^3] = 0, E[z^2] = 1, and E[z^4] = kappa. Summing
E[z_i z_j z_k^2] over all elements gives E[ghat] = g and E|ghat|^2 = (d - 1 + kappa) |g|^2, so

    total variance    E|ghat - g|^2              =  (d + kappa - 2) |g|^2
    variance along g  E(ghat . g - |g|^2)^2      =  2 |g|^4 + (kappa - 3) sum_i g_i^4

Normals have kappa = 3: the total is (d + 1) |g|^2, and 2 |g|^4 along g. Signs have the smallest possible
kappa, 1: the total is (d - 1) |g|^2, and 2 |g|^4 - 2 sum_i g_i^4 along g. The second term is small unless a
few elements of g dominate. If one element does, the estimate along g is exact.

Spall, IEEE TAC 37(3), 1992, introduced the estimate, with signs as the example of z. It divides by z, which
is the same as multiplying for signs only. Malladi et al., arXiv 2305.17333, Definition 1, multiply by
normals. The formulas are derived here.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from addax import noise
from baselines.mezo import MeZO

KAPPA = {"normal": 3, "rademacher": 1}
# The model is in float64, so a difference of losses keeps ten digits at this scale.
EPS = 1e-6


def theory(gradient: Tensor, direction: str) -> dict[str, float]:
    """Return the exact variances of the estimate, relative to the gradient.

    Args:
        gradient: g, float64, shape (d,).
        direction: one of `addax.noise.DIRECTIONS`.

    Returns:
        total: E|ghat - g|^2 / |g|^2.
        along: E(ghat . g - |g|^2)^2 / |g|^4.
    """
    kappa, square = KAPPA[direction], gradient.square()
    concentration = float(square.square().sum() / square.sum() ** 2)
    return {"total": gradient.numel() + kappa - 2, "along": 2 + (kappa - 3) * concentration}


def measure(
    model: nn.Module, loss: Callable[[], Tensor], direction: str, draws: int, seed: int = 0
) -> dict[str, Any]:
    """Return the variances of a method's estimates at fixed weights, with standard errors, and the theory.

    Args:
        model: a model in float64; its trainable parameters are estimated.
        loss: returns the loss, a float64 scalar; the same in every call.
        direction: one of `addax.noise.DIRECTIONS`.
        draws: number of estimates.
        seed: defines all directions.

    Returns:
        parameters (d), draws, direction, mean (of ghat . g / |g|^2, which is 1 in theory), and total and
        along, each a list of the measured value, its standard error, and the theory; see `theory`.
    """
    optimizer = MeZO(model, lr=0.0, eps=EPS, seed=seed, direction=direction)
    gradients = torch.autograd.grad(loss(), list(optimizer.indices))
    flat = torch.cat([g.flatten() for g in gradients])
    square = float(flat.square().sum())
    along, total = [], []
    for projected, slope, length in _estimates(optimizer, loss, gradients, draws):
        # |ghat - g|^2 = |ghat|^2 - 2 ghat . g + |g|^2, and ghat = projected z.
        along.append(projected * slope / square)
        total.append((projected**2 * length - 2 * projected * slope) / square + 1)
    exact = theory(flat, direction)
    relative = torch.tensor(along, dtype=torch.float64)
    return {
        "parameters": flat.numel(),
        "draws": draws,
        "direction": direction,
        "mean": _mean(relative),
        "total": [*_mean(torch.tensor(total, dtype=torch.float64)), exact["total"]],
        "along": [*_mean((relative - 1).square()), exact["along"]],
    }


def _estimates(
    optimizer: MeZO, loss: Callable[[], Tensor], gradients: tuple[Tensor, ...], draws: int
) -> Iterator[tuple[float, float, float]]:
    """Yield the projected gradient, g . z, and |z|^2 of each direction."""
    for draw in range(draws):
        estimate = optimizer.estimate(loss, draw)
        optimizer.draws.clear()
        slope = length = 0.0
        for (p, index), g in zip(optimizer.indices.items(), gradients, strict=True):
            z = noise.draw(estimate.step_seed, index, p.shape, p.device, optimizer.direction).double()
            slope += float((g * z).sum())
            length += float(z.square().sum())
        yield float(estimate.projected_grad), slope, length


def _mean(values: Tensor) -> list[float]:
    """Return the mean of values and its standard error."""
    return [float(values.mean()), float(values.std() / len(values) ** 0.5)]
