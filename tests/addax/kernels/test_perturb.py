"""Tests of perturbed weights: bit for bit equal to torch's arithmetic on the kernel's own z."""

import pytest
import torch

from addax.kernels import launch
from addax.kernels.draw import draw
from addax.kernels.perturb import perturb
from tests.numerics.oracle import CPU, generator

DTYPES = [torch.bfloat16, torch.float16, torch.float32, torch.float64]
INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}
# A subnormal number, infinities, NaN, negative zero, and a number that overflows to the next 16-bit one.
SPECIAL = [0.0, -0.0, 1e-7, -3e-8, 1e-40, float("inf"), -float("inf"), float("nan"), 65504.0, -1.0]


def bits(tensor):
    """Return the bits of a tensor, with one pattern for all NaNs."""
    tensor = torch.where(torch.isnan(tensor), torch.full_like(tensor, float("nan")), tensor)
    return tensor.view(INTEGERS[tensor.element_size()])


def weights(size, dtype, seed=1):
    """Return weights that start with special values."""
    values = torch.randn(size, generator=generator(seed), dtype=torch.float64) * 0.02
    values[: len(SPECIAL)] = torch.tensor(SPECIAL, dtype=torch.float64)[:size]
    return values.to(dtype)


def expected(source, z, scale):
    """Return round(source + scale z), computed with torch."""
    wide = torch.float64 if source.dtype == torch.float64 else torch.float32
    factor = torch.tensor(scale, dtype=torch.float64).to(wide)
    return (source.to(wide) + z.to(wide) * factor).to(source.dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("direction", ["normal", "rademacher"])
def test_perturbed_weights_equal_torch(on_cpu, monkeypatch, dtype, direction):
    """Two small tensors in one launch, and a large one. A scale of 0.1 is not a float32."""
    monkeypatch.setattr(launch, "SMALL", 1000)
    sources = [weights(n, dtype) for n in (3, 700, 3001)]
    outs = [torch.full_like(s, 7) for s in sources]
    before = [s.clone() for s in sources]
    perturb([(s, o, i) for i, (s, o) in enumerate(zip(sources, outs, strict=True))], 6, 0.1, direction)
    for i, (source, out) in enumerate(zip(sources, outs, strict=True)):
        z = draw(6, i, source.shape, CPU, direction)
        assert torch.equal(bits(source), bits(before[i]))
        assert torch.equal(bits(out), bits(expected(source, z, 0.1)))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_weights_can_be_perturbed_in_place_and_in_part_of_a_buffer(on_cpu, dtype):
    """Nothing beyond the ends of a tensor is written, and the tensor may start at any address."""
    buffer = weights(1200, dtype)
    before = buffer.clone()
    inner = buffer[101:1101]
    perturb([(inner, inner, 4)], 2, -3e-3)
    assert torch.equal(bits(buffer[:101]), bits(before[:101]))
    assert torch.equal(bits(buffer[1101:]), bits(before[1101:]))
    z = draw(2, 4, inner.shape, CPU)
    assert torch.equal(bits(inner), bits(expected(before[101:1101], z, -3e-3)))


def test_rounding_to_bfloat16_is_to_nearest_even(on_cpu):
    """A scale of 0 with weights between bfloat16 numbers would not round; ties come from signs of 2^-9."""
    source = torch.tensor([1.0, 1.0078125, 1.015625], dtype=torch.bfloat16).repeat(100)
    out = torch.empty_like(source)
    perturb([(source, out, 0)], 0, 2.0**-8, "rademacher")
    z = draw(0, 0, source.shape, CPU, "rademacher")
    assert torch.equal(out, (source.float() + z * 2.0**-8).bfloat16())
    # Ties of odd numbers move, ties of even ones stay.
    assert (out[1::3] != source[1::3]).all()
    assert (out[0::3][z[0::3] > 0] == 1.0).all()


def test_empty_calls_and_empty_tensors_do_nothing(on_cpu):
    perturb([], 0, 1.0)
    perturb([(torch.empty(0), torch.empty(0), 0)], 0, 1.0)


@pytest.mark.parametrize(
    ("source", "out", "message"),
    [
        (
            torch.ones(3, dtype=torch.int32),
            torch.ones(3, dtype=torch.int32),
            "torch.int32; the kernels",
        ),
        (torch.ones(4, 4).t(), torch.ones(4, 4), r"shape \(4, 4\) is not contiguous"),
        (torch.ones(4), torch.ones(5), r"have shapes \(4,\) and \(5,\)"),
        (torch.ones(4), torch.ones(4).double(), "not both torch.float32 on cpu and torch.float64 on cpu"),
        (
            torch.ones(4),
            torch.ones(4, device="meta"),
            "torch.float32 on cpu and torch.float32 on meta",
        ),
    ],
)
def test_unsuitable_tensors_are_named(source, out, message):
    with pytest.raises(ValueError, match=message):
        perturb([(source, out, 0)], 0, 1.0)
