"""Tests of z and of its words against the reference in NumPy."""

import numpy as np
import pytest
import torch
import triton
import triton.language as tl
from scipy import stats

from addax.kernels import formats, launch, normals
from addax.kernels import philox as streams
from addax.kernels.draw import draw
from addax.kernels.philox import LANES
from addax.seeds import hash_seed
from tests.addax.kernels import interpreter, reference
from tests.numerics.oracle import CPU

N = 512
SIZES = [1, 511, 512, 513, 4096 + 3]


@triton.jit
def _words(out, counters, index, key_low, key_high, STREAM: tl.constexpr):
    lane = tl.arange(0, 512)
    counter = tl.load(counters + lane).to(tl.uint64)
    index = index.to(tl.uint32)
    low = key_low.to(tl.uint32)
    high = key_high.to(tl.uint32)
    w0, w1, w2, w3 = streams.philox(counter, index, STREAM, low, high)
    tl.store(out + lane, w0.to(tl.int64))
    tl.store(out + LANES + lane, w1.to(tl.int64))
    tl.store(out + 2 * LANES + lane, w2.to(tl.int64))
    tl.store(out + 3 * LANES + lane, w3.to(tl.int64))


@triton.jit
def _box_muller(out, a, b):
    lane = tl.arange(0, 512)
    z0, z1 = normals.box_muller(tl.load(a + lane).to(tl.uint32), tl.load(b + lane).to(tl.uint32))
    tl.store(out + lane, z0)
    tl.store(out + 512 + lane, z1)


@triton.jit
def _rows(out, row, index, key_low, key_high, KIND: tl.constexpr):
    """Write z or the rounding words of the rows from `row`."""
    row = row.to(tl.int64)
    lane = tl.arange(0, 512)
    index = index.to(tl.uint32)
    low = key_low.to(tl.uint32)
    high = key_high.to(tl.uint32)
    if KIND == 0:
        x0, x1, x2, x3 = normals.four_normals(row, lane, index, low, high)
    elif KIND == 1:
        x0, x1, x2, x3 = streams.four_signs(streams.sign_word(row, lane, index, low, high), row)
    else:
        x0, x1, x2, x3 = streams.rounding_words(row, lane, index, low, high)
    tl.store(out + lane, x0.to(tl.float64))
    tl.store(out + LANES + lane, x1.to(tl.float64))
    tl.store(out + 2 * LANES + lane, x2.to(tl.float64))
    tl.store(out + 3 * LANES + lane, x3.to(tl.float64))


def run(kernel, *args, **constants):
    """Run a test's kernel in the interpreter."""
    interpreter.interpreted(kernel.fn)[(1,)](*args, **constants)


def key(step_seed):
    return hash_seed(step_seed) % 2**32, hash_seed(step_seed) >> 32


@pytest.mark.parametrize("stream", [0, 1, 2])
@pytest.mark.parametrize(("seed", "index"), [(0, 0), (2**63 + 5, 32767)])
def test_words_equal_the_reference(on_cpu, stream, seed, index):
    """Counters beyond 2^32 use their high word."""
    counters = torch.arange(N) * (2**54 + 12345) + 2**32 - 3
    out = torch.empty(4, N, dtype=torch.int64)
    run(_words, out, counters, index, *key(seed), STREAM=stream)
    expected = reference.words(seed, index, stream, counters.numpy())
    assert (out.numpy().T.astype(np.uint64) == expected).all()


def test_normals_of_extreme_words_are_accurate(on_cpu):
    """The words around 0, 2^32, the borders of quarters and eighths, and sqrt(1/2), where formulas change."""
    borders = [0, 2**32, 0xB504F334, *(k << 29 for k in range(8))]
    special = sorted({(b + d) % 2**32 for b in borders for d in (-257, -256, -2, -1, 0, 1, 2, 3, 255, 256)})
    rng = np.random.default_rng(0)
    a = np.concatenate([special, rng.integers(0, 2**32, 4096 - len(special))])
    b = np.concatenate([rng.permutation(special), rng.permutation(a[len(special) :])])
    for start in range(0, len(a), N):
        x, y = a[start : start + N], b[start : start + N]
        out = torch.empty(2, N)
        run(_box_muller, out, torch.from_numpy(x), torch.from_numpy(y))
        for z, expected in zip(
            out.double().numpy(), reference.box_muller(*map(np.uint64, (x, y))), strict=True
        ):
            assert np.isfinite(z).all()
            # The cosine of a quarter turn is 0, but not in float64.
            np.testing.assert_allclose(z, expected, rtol=4e-7, atol=1e-15)


def test_tails_reach_beyond_six_sigma(on_cpu):
    out = torch.empty(2, N)
    run(_box_muller, out, torch.zeros(N, dtype=torch.int64), torch.zeros(N, dtype=torch.int64))
    assert out[0, 0].item() == pytest.approx(np.sqrt(-2 * np.log(2.0**-32)), rel=1e-6)
    assert out[0, 0] > 6.6
    assert out[1, 0] == 0


@pytest.mark.parametrize("size", SIZES)
def test_z_equals_the_reference_at_every_size(on_cpu, size):
    elements = np.arange(size)
    z = draw(5, 3, torch.Size([size]), CPU).double().numpy()
    np.testing.assert_allclose(z, reference.normals(5, 3, elements), rtol=1e-6, atol=0)
    signs = draw(5, 3, torch.Size([size]), CPU, "rademacher").numpy()
    assert (signs == reference.signs(5, 3, elements)).all()


def test_signs_use_every_word_and_bit(on_cpu):
    """The 128 rows of one counter, and the first of the next one."""
    size = 129 * N
    signs = draw(1, 2, torch.Size([size]), CPU, "rademacher").numpy()
    assert (signs == reference.signs(1, 2, np.arange(size))).all()


# The first row of 2^31 + 5 elements that has an incomplete quad, and rows whose counters exceed 2^32.
@pytest.mark.parametrize("row", [2**22, 2**33 + 8, 2**36 + 104])
def test_large_offsets_equal_the_reference(on_cpu, row):
    elements = row * N + np.arange(4 * N)
    for kind, expected in enumerate((reference.normals, reference.signs)):
        out = torch.empty(4 * N, dtype=torch.float64)
        run(_rows, out, row, 9, *key(4), KIND=kind)
        np.testing.assert_allclose(out.numpy(), expected(4, 9, elements), rtol=1e-6)
    out = torch.empty(4, N, dtype=torch.float64)
    run(_rows, out, row, 9, *key(4), KIND=2)
    pairs = out.numpy().astype(np.int64)
    bits = np.stack([half for word in pairs for half in (word & 0xFFFF, word >> 16)]).reshape(-1)
    assert (bits == reference.rounding_bits(4, 9, row * N + np.arange(8 * N))).all()


@triton.jit
def _offsets(out, base, row, numel):
    """Write where `four_rows` points to, and how many elements it has left."""
    first = row.to(tl.int64)
    tl.store(out, formats.four_rows(base, first).to(tl.int64) - base.to(tl.int64))
    tl.store(out + 1, tl.minimum(numel.to(tl.int64) - first * LANES, 4 * LANES))


def test_offsets_of_large_tensors_have_64_bits(on_cpu):
    """A tensor of 2^31 + 5 elements ends in row 2^22, and its byte offsets exceed 2^32."""
    out = torch.empty(2, dtype=torch.int64)
    base = torch.empty(1, dtype=torch.float32)
    run(_offsets, out, base, 2**22, 2**31 + 5)
    assert out.tolist() == [4 * 2**31, 5]
    programs = launch.programs_of(2**31 + 5, 8)
    assert (programs - 1) * 8 == 2**22
    assert programs < 2**31


def test_z_does_not_depend_on_the_launch(on_cpu, monkeypatch):
    shape = torch.Size([3, 1001])
    for direction in ("normal", "rademacher"):
        first = draw(8, 1, shape, CPU, direction)
        for width, rows in ((256, 16), (128, 8)):
            monkeypatch.setattr(launch, "WIDTH", width)
            monkeypatch.setitem(launch.ROWS, direction, rows)
            assert torch.equal(draw(8, 1, shape, CPU, direction), first)


def test_z_is_distinct_by_seed_index_and_direction(on_cpu):
    draws = [draw(s, i, torch.Size([N]), CPU) for s, i in ((1, 0), (2, 0), (1, 1), (2**32 + 1, 0))]
    draws.append(draw(1, 0, torch.Size([N]), CPU, "rademacher"))
    for i, a in enumerate(draws):
        for b in draws[:i]:
            # The correlation of independent draws has standard deviation 1 / sqrt(512).
            assert abs(torch.dot(a, b).item()) / N < 0.25


def test_normals_and_signs_have_the_right_distribution(on_cpu):
    n = 1 << 15
    z = draw(11, 0, torch.Size([n]), CPU).double().numpy()
    assert stats.kstest(z, "norm").pvalue > 1e-3
    for power, expected, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs((z**power).mean() - expected) < 4 * np.sqrt(variance / n)
    # Pairs of one transform are uncorrelated.
    rows = z.reshape(-1, N)
    assert abs((rows[::2] * rows[1::2]).mean()) < 4 / np.sqrt(n / 2)
    signs = draw(11, 0, torch.Size([n]), CPU, "rademacher").numpy()
    assert abs(signs.mean()) < 4 / np.sqrt(n)


def test_draw_rejects_unknown_directions(on_cpu):
    with pytest.raises(ValueError, match="direction must be 'normal' or 'rademacher', not 'uniform'"):
        draw(0, 0, torch.Size([3]), CPU, "uniform")
