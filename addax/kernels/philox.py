"""Device functions: Philox4x32-10, and the words of the streams of z and of rounding.

Salmon, Moraes, Dror, and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011. The package docstring
defines the counters.
"""

import triton
import triton.language as tl

NORMAL, RADEMACHER, ROUNDING = tl.constexpr(0), tl.constexpr(1), tl.constexpr(2)
LANES = tl.constexpr(512)

_MULTIPLIER_0, _MULTIPLIER_1 = tl.constexpr(0xD2511F53), tl.constexpr(0xCD9E8D57)
_WEYL_0, _WEYL_1 = tl.constexpr(0x9E3779B9), tl.constexpr(0xBB67AE85)


@triton.jit
def philox(counter, index, stream: tl.constexpr, key_low, key_high):
    """Return four random words.

    Args:
        counter: uint64, shape (n,).
        index: uint32 scalar.
        stream: the last word of the counter.
        key_low, key_high: uint32 scalars.

    Returns:
        Four blocks of uint32, shape (n,) each.
    """
    c0 = counter.to(tl.uint32)
    c1 = (counter >> 32).to(tl.uint32)
    c2 = index
    c3 = stream
    k0 = key_low
    k1 = key_high
    for _ in tl.static_range(10):
        high_0 = tl.umulhi(c0, _MULTIPLIER_0)
        low_0 = tl.mul(c0, _MULTIPLIER_0, sanitize_overflow=False)
        high_1 = tl.umulhi(c2, _MULTIPLIER_1)
        low_1 = tl.mul(c2, _MULTIPLIER_1, sanitize_overflow=False)
        c0 = high_1 ^ c1 ^ k0
        c1 = low_1
        c2 = high_0 ^ c3 ^ k1
        c3 = low_0
        k0 = tl.add(k0, _WEYL_0, sanitize_overflow=False)
        k1 = tl.add(k1, _WEYL_1, sanitize_overflow=False)
    return c0, c1, c2, c3


@triton.jit
def rounding_words(row, lane, index, key_low, key_high):
    """Return the four words with the rounding bits of rows `row` to `row + 7`; `row` is a multiple of 8."""
    counter = ((row >> 3) * LANES + lane).to(tl.uint64)
    return philox(counter, index, ROUNDING, key_low, key_high)


@triton.jit
def sign_word(row, lane, index, key_low, key_high):
    """Return the word that holds the signs of the 32 rows around `row`."""
    counter = ((row >> 7) * LANES + lane).to(tl.uint64)
    w0, w1, w2, w3 = philox(counter, index, RADEMACHER, key_low, key_high)
    number = (row >> 5) & 3
    return tl.where(number < 2, tl.where(number == 0, w0, w1), tl.where(number == 2, w2, w3))


@triton.jit
def four_signs(word, row):
    """Return z, float32, of rows `row` to `row + 3` from their word."""
    bits = word >> (row & 31).to(tl.uint32)
    z0 = tl.where((bits & 1) == 0, 1.0, -1.0)
    z1 = tl.where((bits & 2) == 0, 1.0, -1.0)
    z2 = tl.where((bits & 4) == 0, 1.0, -1.0)
    z3 = tl.where((bits & 8) == 0, 1.0, -1.0)
    return z0, z1, z2, z3
