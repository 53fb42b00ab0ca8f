"""Tests of the realized fraction of an update in 16 bits, and of the drift of the published procedure.

This file implements the published procedure from its description, on plain tensors: it draws z in theta's
dtype, sets theta.data = theta.data + scale * z * eps for scale 1, -2, and 1 around the two losses, and then
sets theta.data = theta.data - lr * (g * z).
"""

import pytest
import torch
from torch import Tensor, nn

from addax import noise, released
from addax.small_tensors import KeptNoise
from addax.update import Step
from baselines.mezo import MeZO
from tests.numerics.oracle import CPU, HALVES, generator
from tests.numerics.updates import update

TYPES = pytest.mark.parametrize("dtype", HALVES, ids=str)
DIRECTIONS, WEIGHTS = 100, 1_000_000
SIZES = (1e-7, 1e-6, 1e-5, 1e-4)
EPS = 1e-3


def weights(dtype: torch.dtype, numel: int) -> Tensor:
    """Return random weights of the magnitude of a language model's weights."""
    return (torch.randn(numel, generator=generator(2)) * 0.02).to(dtype)


def there_and_back(theta: Tensor, z: Tensor, eps: float) -> Tensor:
    """Return theta after the three published perturbations around two losses."""
    for scale in (1, -2, 1):
        theta = theta + scale * z * eps
    return theta


def published_update(theta: Tensor, z: Tensor, lr: float, g: float) -> Tensor:
    """Return theta after the published update."""
    return theta - lr * (g * z)


def along(after: Tensor, before: Tensor, z: Tensor, size: float) -> float:
    """Return the realized fraction <theta_after - theta_before, z> / <-size z, z>, in float64."""
    z = z.double()
    return (torch.dot(after.double() - before.double(), z) / (-size * torch.dot(z, z))).item()


def drift(now: Tensor, start: Tensor) -> float:
    """Return the root mean square of the change, relative to that of the weights."""
    return ((now.double() - start.double()).norm() / start.double().norm()).item()


def mean_is_zero(samples: Tensor) -> bool:
    """Return whether the mean of the samples is within four standard errors of 0."""
    return abs(samples.mean().item()) < 4 * samples.std().item() / len(samples) ** 0.5


@pytest.mark.medium
@TYPES
def test_stochastic_rounding_realizes_the_whole_step(dtype):
    """Over 100 directions, the mean fraction is within 2 % of 1, and the mean error is zero.

    The error is projected on z, on the sign of theta, and on the vector of ones. The standard error of the
    fraction is sqrt(spacing / (size x 10^8)), at most 0.4 %.
    """
    start = weights(dtype, WEIGHTS)
    before, sign = start.float(), start.float().sign()
    fractions = torch.empty(len(SIZES), DIRECTIONS)
    errors = torch.empty(len(SIZES), 3, DIRECTIONS)
    for k in range(DIRECTIONS):
        z = noise.draw(k, 0, start.shape, CPU)
        length = torch.dot(z, z)
        for i, size in enumerate(SIZES):
            theta = start.clone()
            update(theta, 0, k, directions=[(size, k)])
            taken = theta.float() - before
            fractions[i, k] = -torch.dot(taken, z) / (size * length)
            error = taken.add_(z, alpha=size)
            errors[i, :, k] = torch.stack((torch.dot(error, z), torch.dot(error, sign), error.sum()))
    for i, size in enumerate(SIZES):
        assert fractions[i].mean().item() == pytest.approx(1, abs=0.02), size
        for projection in errors[i]:
            assert mean_is_zero(projection), size


# The drift of the published procedure on these weights, and its realized fraction of a step of each size.
DRIFT = {torch.bfloat16: 0.166, torch.float16: 0.022}
REALIZED = {torch.bfloat16: (0.003, 0.029, 0.28, 0.99), torch.float16: (0.024, 0.23, 0.97, 1.0)}


@TYPES
@pytest.mark.parametrize("i", range(len(SIZES)), ids=[str(size) for size in SIZES])
def test_nearest_rounding_and_released_arithmetic_lose_the_step(dtype, i):
    """Both lose as much as the published procedure; released arithmetic equals it bit for bit."""
    lr, g = SIZES[i] / 7.3, 7.3
    start = weights(dtype, WEIGHTS)
    z = noise.draw(5, 0, start.shape, CPU)
    published = published_update(start, z.to(dtype), lr, g)
    fraction = along(published, start, z, lr * g)
    # The tolerance is wide because the smallest steps change only a few thousand coordinates.
    assert fraction == pytest.approx(REALIZED[dtype][i], rel=0.15)

    ours = nn.Parameter(start.clone())
    step = Step(5, draws=KeptNoise({ours: 0}, "normal"))
    released.apply_step([(ours, 0, lr)], step, names={ours: "weight"}, directions=[(1.0, torch.tensor(g), 5)])
    assert torch.equal(ours, published)

    nearest = start.clone()
    update(nearest, 0, 5, directions=[(lr * g, 5)], rounding="nearest")
    assert along(nearest, start, z, lr * g) == pytest.approx(fraction, rel=0.1)


class ConstantLoss(nn.Module):
    """A module with weights whose loss is always zero."""

    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(start.clone())

    def forward(self) -> Tensor:
        """Return zero."""
        return torch.zeros(())


def stepped(start: Tensor, steps: int, arithmetic: str) -> tuple[Tensor, list[int]]:
    """Take MeZO steps at a learning rate of zero, and return theta and the step seeds."""
    model = ConstantLoss(start)
    opt = MeZO(model, lr=0.0, eps=EPS, arithmetic=arithmetic)
    seeds = []
    for _ in range(steps):
        seeds.append(opt.step_seed())
        opt.step(zo_loss=model)
    return model.weight.detach(), seeds


@TYPES
def test_released_drift_equals_the_published_drift_bit_for_bit(dtype):
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
    """Released arithmetic drifts as much as the published procedure with torch's draws; ours does not."""
    start = weights(dtype, 1 << 14)
    rng = generator(11)
    published = start
    for _ in range(2000):
        published = there_and_back(published, torch.empty_like(start).normal_(generator=rng), EPS)
    theta, _ = stepped(start, 2000, "released")
    # The drift is the root mean square of 2^14 independent random walks; its standard error is 0.6 %.
    assert drift(theta, start) == pytest.approx(drift(published, start), rel=0.04)
    assert drift(theta, start) == pytest.approx(DRIFT[dtype], rel=0.04)
    exact, _ = stepped(start, 200, "exact")
    assert torch.equal(exact.view(torch.int16), start.view(torch.int16))
