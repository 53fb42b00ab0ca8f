"""Tests of updates: bit for bit equal to torch's arithmetic on the kernel's z and host rounding bits."""

import numpy as np
import pytest
import torch
import triton
import triton.language as tl

from addax.kernels import formats, launch
from addax.kernels.draw import draw
from addax.kernels.update import update
from addax.rounding import HALF, stochastic_round
from tests.addax.kernels import interpreter, reference
from tests.addax.kernels.test_perturb import DTYPES, bits, weights
from tests.numerics.oracle import CPU, generator

SEED = 21


def expected(theta, index, grad, coefficients, seeds, direction, rounding):
    """Compute the update with torch from `draw` and the reference's rounding bits."""
    wide = torch.float64 if theta.dtype == torch.float64 else torch.float32
    terms = [
        c * draw(s, index, theta.shape, CPU, direction).to(wide)
        for s, c in zip(seeds, coefficients, strict=False)
    ]
    if grad is not None:
        g = grad.to(wide)
        terms.append(coefficients[len(seeds)] * torch.where(torch.isfinite(g), g, 0))
    step = terms[0]
    for term in terms[1:]:
        step = step + term
    new = theta.to(wide) - step
    if theta.dtype in HALF and rounding == "stochastic":
        random = reference.rounding_bits(SEED, index, np.arange(theta.numel()))
        new = stochastic_round(new.view(-1), theta.dtype, torch.from_numpy(random)).view(theta.shape)
    return torch.where(torch.isfinite(theta), new.to(theta.dtype), theta)


def gradients(thetas, dtype):
    return [torch.randn(t.shape, generator=generator(3), dtype=torch.float64).to(dtype) for t in thetas]


def run(thetas, grads, seeds, direction, rounding, flag):
    """Update tensors in place, and return the coefficients."""
    wide = torch.float64 if thetas[0].dtype == torch.float64 else torch.float32
    coefficients = torch.tensor([1e-2, -3e-3, 7e-4, 0.1], dtype=torch.float64)[-len(seeds) - 1 :].to(wide)
    update(
        [(t, i, g) for i, (t, g) in enumerate(zip(thetas, grads, strict=True))],
        SEED,
        directions=seeds,
        direction=direction,
        coefficients=coefficients,
        rounding=rounding,
        not_finite=flag,
    )
    return coefficients


CASES = [
    (1, None, "normal", "stochastic"),
    (3, torch.float32, "normal", "stochastic"),
    (2, torch.bfloat16, "rademacher", "nearest"),
    (0, torch.float16, "normal", "stochastic"),
    (3, None, "rademacher", "stochastic"),
    (1, torch.float64, "rademacher", "nearest"),
]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("count", "grad_dtype", "direction", "rounding"), CASES)
def test_updates_equal_torch(on_cpu, monkeypatch, dtype, count, grad_dtype, direction, rounding):
    """Two small tensors in one launch and a large one, with special values in weights and gradients."""
    monkeypatch.setattr(launch, "SMALL", 500)
    seeds = [31, 32, 33][:count]
    thetas = [weights(n, dtype) for n in (3, 400, 1100)]
    before = [t.clone() for t in thetas]
    grads = [None] * 3 if grad_dtype is None else gradients(thetas, grad_dtype)
    flag = torch.zeros((), dtype=torch.int32)
    coefficients = run(thetas, grads, seeds, direction, rounding, flag)
    assert flag == 0
    for i, theta in enumerate(thetas):
        new = expected(before[i], i, grads[i], coefficients, seeds, direction, rounding)
        assert torch.equal(bits(theta), bits(new))
        # NaN keeps its payload, too.
        kept = ~torch.isfinite(before[i])
        raw = {2: torch.int16, 4: torch.int32, 8: torch.int64}[dtype.itemsize]
        assert torch.equal(theta.view(raw)[kept], before[i].view(raw)[kept])


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("large", [False, True])
def test_an_element_whose_gradient_is_not_finite_does_not_move_and_sets_the_flag(
    on_cpu, monkeypatch, bad, large
):
    monkeypatch.setattr(launch, "SMALL", 10 if large else 5000)
    thetas = [weights(700, torch.bfloat16)[20:], weights(640, torch.bfloat16)]
    grads = gradients(thetas, torch.bfloat16)
    grads[1][639] = bad
    before = [t.clone() for t in thetas]
    flag = torch.zeros((), dtype=torch.int32)
    coefficients = run(thetas, grads, [31], "normal", "stochastic", flag)
    assert flag == 1
    for i, theta in enumerate(thetas):
        new = expected(before[i], i, grads[i], coefficients, [31], "normal", "stochastic")
        new = torch.where(torch.isfinite(grads[i]), new, before[i])
        assert torch.equal(bits(theta), bits(new))


def test_a_gradient_beyond_float32_counts_as_not_finite(on_cpu):
    theta, flag = torch.ones(4), torch.zeros((), dtype=torch.int32)
    grad = torch.tensor([1.0, 1e300, 1.0, 1.0], dtype=torch.float64)
    update([(theta, 0, grad)], 0, coefficients=torch.tensor([0.5]), not_finite=flag)
    assert theta.tolist() == [0.5, 1.0, 0.5, 0.5]
    assert flag == 1


def test_the_flag_stays_set(on_cpu):
    """A later call without bad elements does not clear it."""
    flag = torch.ones((), dtype=torch.int32)
    update([(torch.ones(4), 0, torch.ones(4))], 0, coefficients=torch.tensor([0.5]), not_finite=flag)
    assert flag == 1


@triton.jit
def _round(out, x, random, narrow: tl.constexpr):
    lane = tl.arange(0, 1024)
    for block in range(64):
        at = block * 1024 + lane
        rounded = formats.stochastic(tl.load(x + at), tl.load(random + at), narrow)
        tl.store(out + at, rounded)


@pytest.mark.parametrize(
    ("dtype", "narrow"), [(torch.bfloat16, tl.int16), (torch.float16, tl.float16)], ids=str
)
def test_stochastic_rounding_equals_the_librarys(on_cpu, dtype, narrow):
    """Random bit patterns of float32, and many values in the range of float16's subnormals."""
    rng = generator(8)
    patterns = (
        torch.randint(-(2**31), 2**31, (1 << 15,), generator=rng, dtype=torch.int64).int().view(torch.float32)
    )
    small = torch.randn(1 << 15, generator=rng) * 10 ** torch.empty(1 << 15).uniform_(-9, -3, generator=rng)
    x = torch.cat([patterns, small])
    x[:6] = torch.tensor([0.0, -0.0, float("inf"), -float("inf"), float("nan"), 2.0**-14])
    random = torch.randint(0, 1 << 16, x.shape, generator=rng, dtype=torch.int32)
    random[:100:2], random[1:100:2] = 0, (1 << 16) - 1
    out = torch.empty_like(x, dtype=torch.int16 if dtype == torch.bfloat16 else dtype)
    interpreter.interpreted(_round.fn)[(1,)](out, x, random, narrow=narrow)
    number = ~torch.isnan(x)
    assert torch.equal(bits(out.view(dtype)[number]), bits(stochastic_round(x, dtype, random)[number]))
    assert out.view(dtype)[~number].isnan().all()


def test_a_nan_of_all_ones_stays_nan(on_cpu):
    """CUDA's own NaN is 0x7fffffff, to which random bits must not be added."""
    x = torch.full((1 << 16,), 0x7FFFFFFF, dtype=torch.int32).view(torch.float32)
    random = torch.arange(1 << 16, dtype=torch.int32)
    out = torch.empty(1 << 16, dtype=torch.int16)
    interpreter.interpreted(_round.fn)[(1,)](out, x, random, narrow=tl.int16)
    assert out.view(torch.bfloat16).isnan().all()


def test_a_call_without_terms_changes_nothing(on_cpu):
    theta = weights(100, torch.bfloat16)
    before = theta.clone()
    update([(theta, 0, None)], 0, coefficients=torch.zeros(1))
    update([], 0, coefficients=torch.zeros(1))
    assert torch.equal(bits(theta), bits(before))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"directions": [1, 2, 3, 4]}, "4 directions are too many: an update takes at most 3"),
        ({"rounding": "up"}, "rounding must be 'stochastic' or 'nearest', not 'up'"),
        ({"direction": "sphere"}, "direction must be 'normal' or 'rademacher', not 'sphere'"),
        (
            {"coefficients": torch.zeros(3)},
            r"must be torch.float32 of shape \(2,\), not torch.float32 of shape \(3,",
        ),
        ({"coefficients": torch.zeros(2).double()}, "must be torch.float32 of shape"),
        ({"not_finite": None}, "need `not_finite`, an int32 scalar"),
    ],
)
def test_wrong_arguments_are_named(change, message):
    arguments = {
        "directions": [1],
        "coefficients": torch.zeros(2),
        "not_finite": torch.zeros((), dtype=torch.int32),
    }
    with pytest.raises(ValueError, match=message):
        update([(torch.ones(4), 0, torch.ones(4))], 0, **arguments | change)


def test_some_items_without_a_gradient_are_an_error():
    items = [(torch.ones(4), 0, torch.ones(4)), (torch.ones(4), 1, None)]
    with pytest.raises(ValueError, match="some items have a gradient and some do not"):
        update(items, 0, coefficients=torch.zeros(1), not_finite=torch.zeros((), dtype=torch.int32))
