"""Device functions: normals from random words by the transform of Box and Muller.

    z0 = sqrt(-2 ln u1) cos(2 pi u2),   z1 = sqrt(-2 ln u1) sin(2 pi u2)

The polynomials are those of Cephes' logf, sinf, and cosf (Moshier). All operations are correctly rounded: no
approximate intrinsic is used, whose results differ between cards.
"""

import triton
import triton.language as tl

from addax.kernels.philox import LANES, NORMAL, philox

_SQRT_HALF_WORD, _SQRT_HALF_BITS = tl.constexpr(0xB504F334), tl.constexpr(0x3F3504F3)
# The sum is ln 2. The first part has few bits, so its product with an exponent is exact.
_LN2_HIGH, _LN2_LOW = tl.constexpr(0.693359375), tl.constexpr(-2.12194440e-4)
_UNIT = tl.constexpr(2.0**-32)
_RADIANS = tl.constexpr(1.4629180792671596e-9)  # 2 pi / 2^32


@triton.jit
def minus_two_log(word):
    """Return -2 ln u1 of u1 = (word | 1) / 2^32, float32."""
    odd = word | 1
    # Near u1 = 1, the logarithm depends on 1 - u1, whose integer form keeps all bits.
    near = odd >= _SQRT_HALF_WORD
    rest = (odd ^ 0xFFFFFFFF) | 1
    x = tl.where(near, rest, odd).to(tl.float32)
    bits = x.to(tl.int32, bitcast=True)
    exponent = (bits - _SQRT_HALF_BITS) >> 23
    mantissa = (bits - (exponent << 23)).to(tl.float32, bitcast=True)  # in [sqrt(1/2), sqrt(2))
    f = tl.where(near, x * -_UNIT, mantissa - 1.0)
    n = tl.where(near, 0, exponent - 32).to(tl.float32)
    square = f * f
    p = tl.fma(f, 7.0376836292e-2, -1.1514610310e-1)
    p = tl.fma(p, f, 1.1676998740e-1)
    p = tl.fma(p, f, -1.2420140846e-1)
    p = tl.fma(p, f, 1.4249322787e-1)
    p = tl.fma(p, f, -1.6668057665e-1)
    p = tl.fma(p, f, 2.0000714765e-1)
    p = tl.fma(p, f, -2.4999993993e-1)
    p = tl.fma(p, f, 3.3333331174e-1)
    tail = (f * square) * p
    tail = tl.fma(n, _LN2_LOW, tail)
    tail = tl.fma(square, -0.5, tail)
    return tl.fma(n, _LN2_HIGH, f + tail) * -2.0


@triton.jit
def cos_sin(word):
    """Return the cosine and the sine of 2 pi word / 2^32, float32."""
    # The nearest multiple of a quarter turn, and the remainder, at most an eighth of a turn, exactly.
    quarter = tl.add(word, 0x20000000, sanitize_overflow=False) >> 30
    remainder = tl.sub(word, quarter << 30, sanitize_overflow=False).to(tl.int32, bitcast=True)
    x = remainder.to(tl.float32) * _RADIANS
    square = x * x
    p = tl.fma(square, -1.9515295891e-4, 8.3321608736e-3)
    p = tl.fma(p, square, -1.6666654611e-1)
    sine = tl.fma(p * square, x, x)
    p = tl.fma(square, 2.443315711809948e-5, -1.388731625493765e-3)
    p = tl.fma(p, square, 4.166664568298827e-2)
    cosine = tl.fma(p, square * square, tl.fma(square, -0.5, 1.0))
    odd = (quarter & 1) == 1
    first = tl.where(odd, sine, cosine).to(tl.uint32, bitcast=True)
    second = tl.where(odd, cosine, sine).to(tl.uint32, bitcast=True)
    # The cosine is negative in quarters 1 and 2, and the sine in quarters 2 and 3.
    first = first ^ (((quarter + 1) & 2) << 30)
    second = second ^ ((quarter & 2) << 30)
    return first.to(tl.float32, bitcast=True), second.to(tl.float32, bitcast=True)


@triton.jit
def box_muller(a, b):
    """Return two normals, float32, from two words."""
    radius = tl.sqrt_rn(minus_two_log(a))
    cosine, sine = cos_sin(b)
    return radius * cosine, radius * sine


@triton.jit
def four_normals(row, lane, index, key_low, key_high):
    """Return z, float32, of rows `row` to `row + 3`; `row` is a multiple of 4."""
    counter = ((row >> 2) * LANES + lane).to(tl.uint64)
    w0, w1, w2, w3 = philox(counter, index, NORMAL, key_low, key_high)
    z0, z1 = box_muller(w0, w1)
    z2, z3 = box_muller(w2, w3)
    return z0, z1, z2, z3
