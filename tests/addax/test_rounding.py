"""Tests of updates to 16-bit parameters: they are exact on average, and the realized fraction is right."""

import math

import pytest
import torch
from torch import nn

from addax import noise
from addax.rounding import RealizedFraction, stochastic_round
from baselines.mezo import MeZO
from tests.numerics.oracle import CPU, HALVES, generator
from tests.numerics.updates import update

TYPES = pytest.mark.parametrize("dtype", HALVES, ids=str)
N = 1 << 17


def neighbors(x: float, dtype: torch.dtype) -> tuple[float, float]:
    """Enumerate all bit patterns of a dtype; return its largest value <= x and its smallest value >= x."""
    every = torch.arange(-(1 << 15), 1 << 15, dtype=torch.int32).to(torch.int16).view(dtype).double()
    every = every[torch.isfinite(every)]
    return every[every <= x].max().item(), every[every >= x].min().item()


def representable(dtype: torch.dtype) -> torch.Tensor:
    """Return every finite value of a 16-bit dtype, including -0.0 and subnormals."""
    every = torch.arange(-(1 << 15), 1 << 15, dtype=torch.int32).to(torch.int16).view(dtype)
    return every[torch.isfinite(every)]


VALUES = [1.0009, -1.0009, 0.3333, -0.017, 123.456, -2.00001, 1e-3, 6.2e-5, -6.2e-5, 3.01e-5, -1.5e-5]
TINY = [1e-6, -1e-6, 9.87e-7, 5.96e-8, 2e-8, -1e-8, 2**-14 - 2**-26]


@pytest.mark.parametrize("x", VALUES + TINY)
@TYPES
def test_stochastic_rounding_is_exact_in_expectation(dtype, x):
    """Only the two neighbors occur. The frequency of the upper one is the remainder (5 standard errors)."""
    x = torch.tensor(x).item()
    low, high = neighbors(x, dtype)
    random = noise.random_bits(1, 0, 0, N, CPU).clone()
    rounded = stochastic_round(torch.full((N,), x), dtype, random).double()
    assert set(rounded.tolist()) <= {low, high}
    if low == high:
        return
    frequency, expected = (rounded == high).double().mean().item(), (x - low) / (high - low)
    # float16 uses only 13 random bits, because the remainder of a float32 has 13 bits.
    assert abs(frequency - expected) < 5 * math.sqrt(expected * (1 - expected) / N) + 2**-13


@TYPES
def test_representable_values_are_unchanged(dtype):
    """No finite 16-bit value changes, even with extreme random bits, so a step of zero changes nothing."""
    values = representable(dtype)
    for bits_value in (0, 1, 1 << 15, (1 << 16) - 2, (1 << 16) - 1):
        bits = torch.full((values.numel(),), bits_value, dtype=torch.int32)
        rounded = stochastic_round(values.float(), dtype, bits)
        assert torch.equal(rounded.view(torch.int16), values.view(torch.int16)), bits_value


@TYPES
def test_rounding_keeps_infinities_and_nan(dtype):
    x = torch.tensor([math.inf, -math.inf, math.nan])
    for bits_value in (0, (1 << 16) - 1):
        rounded = stochastic_round(x, dtype, torch.full((3,), bits_value, dtype=torch.int32)).float()
        assert rounded[:2].tolist() == [math.inf, -math.inf]
        assert math.isnan(rounded[2])


def weights(dtype: torch.dtype) -> torch.Tensor:
    """Return random weights with the scale of a language model's."""
    return (torch.randn(1 << 18, generator=generator(2)) * 0.02).to(dtype)


def along(taken: torch.Tensor, z: torch.Tensor, size: float) -> float:
    """Return the fraction of the step -size z that was taken."""
    return (-torch.dot(taken, z) / (size * torch.dot(z, z))).item()


class Flat(nn.Module):
    """A model with one large weight vector and a linear loss."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.weight = nn.Parameter(weights(dtype))

    def forward(self) -> torch.Tensor:
        """Return the loss, a float64 scalar."""
        return self.weight.double().sum() * 1e-3


@TYPES
def test_released_arithmetic_loses_most_of_a_small_step(dtype):
    """The published arithmetic realizes less than half as much of the step as stochastic rounding."""
    fraction = {}
    for arithmetic in ("exact", "released"):
        model = Flat(dtype)
        opt = MeZO(model, lr=1.0, eps=1e-3, arithmetic=arithmetic)
        probe = opt.perturbed_forward.estimate(model, 1e-3, opt.step_seed())
        opt.param_groups[0]["lr"] = 1e-6 / abs(probe.projected_grad.item())
        fraction[arithmetic] = opt.step(zo_loss=model).realized_fraction.item()
    # For one step of 2^18 weights, the standard error is 0.06 in bfloat16 and 0.02 in float16.
    assert fraction["exact"] == pytest.approx(1, abs=0.25)
    assert fraction["released"] < 0.5 * fraction["exact"]


@TYPES
def test_the_realized_fraction_is_the_part_of_the_step_taken(dtype):
    theta, realized = weights(dtype), RealizedFraction()
    before, size = theta.double(), 1e-5
    update(theta, 0, 3, directions=[(size, 3)], rounding="nearest", realized=realized)
    z = noise.draw(3, 0, theta.shape, CPU).double()
    expected = along(theta.double() - before, z, size)
    # The intended value is a float32, in which 1e-5 z added to weights of 0.02 keeps four digits.
    assert realized.value().item() == pytest.approx(expected, rel=1e-3)
    assert RealizedFraction().value() is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, *HALVES], ids=str)
def test_an_update_is_a_pure_function_of_the_step_seed(dtype):
    """Earlier updates and the number of threads do not change the bits. A different seed does."""
    before = torch.get_num_threads()
    size = noise.CPU_BLOCK * 2 + 3
    start = (torch.randn(size, generator=generator(3)) * 0.02).to(dtype)
    grad = torch.randn(size, generator=generator(4)).to(dtype)

    def updated(step_seed, z_seed=9):
        theta = start.clone()
        update(theta, 1, step_seed, directions=[(torch.tensor(1e-4), z_seed)], grad=(1e-4, grad))
        return theta

    first = updated(5)
    try:
        torch.set_num_threads(3)
        updated(6)
        assert torch.equal(updated(5), first)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(updated(6), first) == (dtype not in HALVES)
    assert not torch.equal(updated(5, z_seed=10), first)


@TYPES
def test_an_update_follows_the_formula(dtype):
    """With rounding to nearest, the update is the result of the float32 formula, rounded once."""
    theta = weights(dtype)
    grad = torch.randn(theta.shape, generator=generator(4)).to(dtype)
    z = [noise.draw(s, 2, theta.shape, CPU) for s in (7, 8)]
    expected = theta.float() - ((0.25 * z[0] - 0.5 * z[1]) + 0.125 * grad.float())
    directions = [(0.25, 7), (-0.5, 8)]
    update(theta, 2, 0, directions=directions, grad=(0.125, grad), rounding="nearest")
    assert torch.equal(theta, expected.to(dtype))


def test_a_gradient_in_another_layout_gives_the_same_update():
    theta = torch.zeros(3, 4)
    grad = torch.arange(12.0).reshape(4, 3).t()
    update(theta, 0, 0, grad=(1.0, grad))
    assert torch.equal(theta, -grad)
