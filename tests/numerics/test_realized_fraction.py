"""How much of an update arrives in 16 bits, ours and the published way, and how far the latter drifts.

The published procedure is written out here from its description, on plain tensors: z is drawn in theta's
dtype, theta.data = theta.data + scale * z * eps for scale 1, -2 and 1 around the two losses, and then
theta.data = theta.data - lr * (g * z).
"""

import pytest
import torch
from torch import Tensor, nn

from addax import noise, released
from addax.rounding import apply_update
from baselines.mezo import MeZO
from tests.numerics.oracle import CPU, HALVES, generator

TYPES = pytest.mark.parametrize("dtype", HALVES, ids=str)
DIRECTIONS, WEIGHTS = 100, 1_000_000
SIZES = (1e-7, 1e-6, 1e-5, 1e-4)
EPS = 1e-3


def weights(dtype: torch.dtype, numel: int) -> Tensor:
    """Weights of the size that a language model's layers have."""
    return (torch.randn(numel, generator=generator(2)) * 0.02).to(dtype)


def there_and_back(theta: Tensor, z: Tensor, eps: float) -> Tensor:
    """Theta after the published moves around two losses."""
    for scale in (1, -2, 1):
        theta = theta + scale * z * eps
    return theta


def published_update(theta: Tensor, z: Tensor, lr: float, g: float) -> Tensor:
    """Theta after the published step."""
    return theta - lr * (g * z)


def along(after: Tensor, before: Tensor, z: Tensor, size: float) -> float:
    """<theta_after - theta_before, z> / <-size z, z>, in float64."""
    z = z.double()
    return (torch.dot(after.double() - before.double(), z) / (-size * torch.dot(z, z))).item()


def drift(now: Tensor, start: Tensor) -> float:
    """The root of the mean square change, relative to that of the weights."""
    return ((now.double() - start.double()).norm() / start.double().norm()).item()


def within_statistics(samples: Tensor) -> bool:
    """Whether the mean of the samples lies within four of its standard errors of 0."""
    return abs(samples.mean().item()) < 4 * samples.std().item() / len(samples) ** 0.5


@pytest.mark.medium
@TYPES
def test_stochastic_rounding_realizes_the_whole_step(dtype):
    """Over 100 directions within 2 %, and the error without a mean: along z, along theta and throughout.

    The standard error of the part along z is sqrt(spacing / (size x 10^8)), at most 0.4 %.
    """
    start = weights(dtype, WEIGHTS)
    before, sign = start.float(), start.float().sign()
    parts = torch.empty(len(SIZES), DIRECTIONS)
    errors = torch.empty(len(SIZES), 3, DIRECTIONS)
    for k in range(DIRECTIONS):
        z = noise.draw(k, 0, start.shape, CPU)
        length = torch.dot(z, z)
        for i, size in enumerate(SIZES):
            theta = start.clone()
            apply_update(theta, 0, k, directions=[(torch.tensor(size), k)])
            taken = theta.float() - before
            parts[i, k] = -torch.dot(taken, z) / (size * length)
            error = taken.add_(z, alpha=size)
            errors[i, :, k] = torch.stack((torch.dot(error, z), torch.dot(error, sign), error.sum()))
    for i, size in enumerate(SIZES):
        assert parts[i].mean().item() == pytest.approx(1, abs=0.02), size
        for of_one in errors[i]:
            assert within_statistics(of_one), size


# By the published procedure on these weights: what round-to-nearest leaves of a step, and the drift.
DRIFT = {torch.bfloat16: 0.166, torch.float16: 0.022}
LEFT = {torch.bfloat16: (0.003, 0.029, 0.28, 0.99), torch.float16: (0.024, 0.23, 0.97, 1.0)}


@TYPES
@pytest.mark.parametrize("i", range(len(SIZES)), ids=[str(size) for size in SIZES])
def test_nearest_rounding_and_released_arithmetic_lose_the_step(dtype, i):
    """As much as the published procedure, from which released arithmetic does not differ in one bit."""
    lr, g = SIZES[i] / 7.3, 7.3
    start = weights(dtype, WEIGHTS)
    z = noise.draw(5, 0, start.shape, CPU)
    published = published_update(start, z.to(dtype), lr, g)
    part = along(published, start, z, lr * g)
    # The smallest steps move a few thousand coordinates.
    assert part == pytest.approx(LEFT[dtype][i], rel=0.15)

    ours = nn.Parameter(start.clone())
    options = {"names": {ours: "weight"}, "loss": None, "fo_weight": 0.0, "is_finite": None, "realized": None}
    released.apply_step([(ours, 0, lr)], 5, directions=[(1.0, torch.tensor(g), 5)], **options)
    assert torch.equal(ours, published)

    nearest = start.clone()
    apply_update(nearest, 0, 5, directions=[(torch.tensor(lr * g), 5)], rounding="nearest")
    assert along(nearest, start, z, lr * g) == pytest.approx(part, rel=0.1)


class Still(nn.Module):
    """Weights that a forward owns, and a loss that they do not change."""

    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(start.clone())

    def forward(self) -> Tensor:
        """Zero."""
        return torch.zeros(())


def stepped(start: Tensor, steps: int, arithmetic: str) -> tuple[Tensor, list[int]]:
    """Theta after steps of MeZO at a learning rate of zero, and the seeds of their directions."""
    model = Still(start)
    opt = MeZO(model, lr=0.0, eps=EPS, arithmetic=arithmetic)
    seeds = []
    for _ in range(steps):
        seeds.append(opt.step_seed())
        opt.step(zo_loss=model)
    return model.weight.detach(), seeds


@TYPES
def test_released_drifts_bit_for_bit_as_published(dtype):
    start = weights(dtype, 1 << 12)
    theta, seeds = stepped(start, 200, "released")
    published = start
    for seed in seeds:
        published = there_and_back(published, noise.draw(seed, 0, start.shape, CPU).to(dtype), EPS)
    assert torch.equal(theta, published)
    assert drift(theta, start) > 0


@pytest.mark.medium
@TYPES
def test_2000_released_steps_drift_and_exact_ones_do_not(dtype):
    """As the published procedure with a generator's own draws in 16 bits; ours does not drift at all."""
    start = weights(dtype, 1 << 14)
    own = generator(11)
    published = start
    for _ in range(2000):
        published = there_and_back(published, torch.empty_like(start).normal_(generator=own), EPS)
    theta, _ = stepped(start, 2000, "released")
    # A drift is the root mean square of 2^14 independent walks: 0.6 % of it is one standard error.
    assert drift(theta, start) == pytest.approx(drift(published, start), rel=0.04)
    assert drift(theta, start) == pytest.approx(DRIFT[dtype], rel=0.04)
    exact, _ = stepped(start, 200, "exact")
    assert torch.equal(exact.view(torch.int16), start.view(torch.int16))
