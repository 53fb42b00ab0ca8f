"""Device functions and kernels of updates; `update.py` starts them and describes their arguments."""

import triton
import triton.language as tl

from addax.kernels.formats import (
    count_of,
    four_rows,
    is_finite,
    load_four,
    nearest,
    stochastic,
    store_four,
    widen,
)
from addax.kernels.launch import span
from addax.kernels.normals import four_normals
from addax.kernels.philox import LANES, four_signs, rounding_words, sign_word


@triton.jit
def _descend(x, step, random, STOCHASTIC: tl.constexpr):
    """Return new raw values of weights from their old ones. Weights that are not finite stay as they are."""
    old = widen(x, step.dtype)
    new = old - step
    new = stochastic(new, random.to(tl.int32), x.dtype) if STOCHASTIC else nearest(new, x.dtype)
    return tl.where(is_finite(old), new, x)


@triton.jit
def _four_z(word, row, lane, index, key_low, key_high, c, SIGNS: tl.constexpr):
    """Return c z of rows `row` to `row + 3`."""
    if SIGNS:
        z0, z1, z2, z3 = four_signs(word, row)
    else:
        z0, z1, z2, z3 = four_normals(row, lane, index, key_low, key_high)
    return c * z0.to(c.dtype), c * z1.to(c.dtype), c * z2.to(c.dtype), c * z3.to(c.dtype)


@triton.jit
def _update_quad(
    theta, grad, not_finite, numel, index, row, lane, random_0, random_1, word_a, word_b, word_c,
    a_low, a_high, b_low, b_high, c_low, c_high, coefficient_a, coefficient_b, coefficient_c, coefficient,
    COUNT: tl.constexpr, HAS_GRAD: tl.constexpr, SIGNS: tl.constexpr, STOCHASTIC: tl.constexpr,
):  # fmt: skip
    left = tl.minimum(numel - row * LANES, 4 * LANES).to(tl.int32)
    pointer = four_rows(theta, row)
    x0, x1, x2, x3 = load_four(pointer, lane, left)
    if HAS_GRAD:
        g0, g1, g2, g3 = load_four(four_rows(grad, row), lane, left)
    if COUNT > 0:
        s0, s1, s2, s3 = _four_z(word_a, row, lane, index, a_low, a_high, coefficient_a, SIGNS)
    if COUNT > 1:
        t0, t1, t2, t3 = _four_z(word_b, row, lane, index, b_low, b_high, coefficient_b, SIGNS)
        s0 = s0 + t0
        s1 = s1 + t1
        s2 = s2 + t2
        s3 = s3 + t3
    if COUNT > 2:
        t0, t1, t2, t3 = _four_z(word_c, row, lane, index, c_low, c_high, coefficient_c, SIGNS)
        s0 = s0 + t0
        s1 = s1 + t1
        s2 = s2 + t2
        s3 = s3 + t3
    if HAS_GRAD:
        g0 = widen(g0, coefficient.dtype)
        g1 = widen(g1, coefficient.dtype)
        g2 = widen(g2, coefficient.dtype)
        g3 = widen(g3, coefficient.dtype)
        finite = is_finite(g0) & is_finite(g1) & is_finite(g2) & is_finite(g3)
        # Only threads that saw such an element store.
        tl.store(not_finite + lane * 0, 1, mask=tl.where(finite, 0, 1) == 1)
        t0 = coefficient * g0
        t1 = coefficient * g1
        t2 = coefficient * g2
        t3 = coefficient * g3
        if COUNT > 0:
            s0 = s0 + t0
            s1 = s1 + t1
            s2 = s2 + t2
            s3 = s3 + t3
        else:
            s0 = t0
            s1 = t1
            s2 = t2
            s3 = t3
        s0 = tl.where(is_finite(g0), s0, 0.0)
        s1 = tl.where(is_finite(g1), s1, 0.0)
        s2 = tl.where(is_finite(g2), s2, 0.0)
        s3 = tl.where(is_finite(g3), s3, 0.0)
    y0 = _descend(x0, s0, random_0 & 0xFFFF, STOCHASTIC)
    y1 = _descend(x1, s1, random_0 >> 16, STOCHASTIC)
    y2 = _descend(x2, s2, random_1 & 0xFFFF, STOCHASTIC)
    y3 = _descend(x3, s3, random_1 >> 16, STOCHASTIC)
    store_four(pointer, lane, left, y0, y1, y2, y3)


@triton.jit
def _update_span(
    theta, grad, not_finite, coefficients, numel, index, row, lane,
    a_low, a_high, b_low, b_high, c_low, c_high, key_low, key_high,
    COUNT: tl.constexpr, HAS_GRAD: tl.constexpr, SIGNS: tl.constexpr, STOCHASTIC: tl.constexpr,
    ROWS: tl.constexpr,
):  # fmt: skip
    # The last coefficient is the gradient's. Those of absent directions are not used.
    coefficient_a = tl.load(coefficients)
    coefficient_b = coefficient_a
    coefficient_c = coefficient_a
    coefficient = coefficient_a
    if COUNT > 1:
        coefficient_b = tl.load(coefficients + 1)
    if COUNT > 2:
        coefficient_c = tl.load(coefficients + 2)
    if HAS_GRAD:
        coefficient = tl.load(coefficients + COUNT)
    word_a = lane
    word_b = lane
    word_c = lane
    if SIGNS and COUNT > 0:
        word_a = sign_word(row, lane, index, a_low, a_high)
    if SIGNS and COUNT > 1:
        word_b = sign_word(row, lane, index, b_low, b_high)
    if SIGNS and COUNT > 2:
        word_c = sign_word(row, lane, index, c_low, c_high)
    for octet in range(count_of(numel, row, 8, ROWS // 8)):
        first = row + octet * 8
        if STOCHASTIC:
            r0, r1, r2, r3 = rounding_words(first, lane, index, key_low, key_high)
        else:
            r0, r1, r2, r3 = lane, lane, lane, lane
        # A loop instead of two calls halves the code, and the time to compile it.
        for half in range(count_of(numel, first, 4, 2)):
            random_0 = tl.where(half == 0, r0, r2)
            random_1 = tl.where(half == 0, r1, r3)
            _update_quad(
                theta, grad, not_finite, numel, index, first + half * 4, lane, random_0, random_1,
                word_a, word_b, word_c, a_low, a_high, b_low, b_high, c_low, c_high,
                coefficient_a, coefficient_b, coefficient_c, coefficient, COUNT, HAS_GRAD, SIGNS, STOCHASTIC,
            )  # fmt: skip


_KEYS = ["a_low", "a_high", "b_low", "b_high", "c_low", "c_high", "key_low", "key_high"]


@triton.jit(
    do_not_specialize=["numel", "index", *_KEYS],
    do_not_specialize_on_alignment=["theta", "grad", "not_finite", "coefficients"],
)
def update_one(
    theta, grad, not_finite, coefficients, numel: tl.int64, index: tl.uint32,
    a_low: tl.uint32, a_high: tl.uint32, b_low: tl.uint32, b_high: tl.uint32,
    c_low: tl.uint32, c_high: tl.uint32, key_low: tl.uint32, key_high: tl.uint32,
    COUNT: tl.constexpr, HAS_GRAD: tl.constexpr, SIGNS: tl.constexpr, STOCHASTIC: tl.constexpr,
    ROWS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    number, lane = span(WIDTH)
    _update_span(
        theta, grad, not_finite, coefficients, numel.to(tl.int64), index.to(tl.uint32), number * ROWS, lane,
        a_low.to(tl.uint32), a_high.to(tl.uint32), b_low.to(tl.uint32), b_high.to(tl.uint32),
        c_low.to(tl.uint32), c_high.to(tl.uint32), key_low.to(tl.uint32), key_high.to(tl.uint32),
        COUNT, HAS_GRAD, SIGNS, STOCHASTIC, ROWS,
    )  # fmt: skip


@triton.jit(do_not_specialize=_KEYS, do_not_specialize_on_alignment=["table", "not_finite", "coefficients"])
def update_table(
    table, not_finite, coefficients,
    a_low: tl.uint32, a_high: tl.uint32, b_low: tl.uint32, b_high: tl.uint32,
    c_low: tl.uint32, c_high: tl.uint32, key_low: tl.uint32, key_high: tl.uint32,
    DTYPE: tl.constexpr, GRAD_DTYPE: tl.constexpr,
    COUNT: tl.constexpr, HAS_GRAD: tl.constexpr, SIGNS: tl.constexpr, STOCHASTIC: tl.constexpr,
    ROWS: tl.constexpr, WIDTH: tl.constexpr, FIELDS: tl.constexpr,
):  # fmt: skip
    number, lane = span(WIDTH)
    entry = table + number * FIELDS
    theta = tl.load(entry).to(tl.pointer_type(DTYPE))
    grad = tl.load(entry + 1).to(tl.pointer_type(GRAD_DTYPE))
    numel = tl.load(entry + 2)
    index = tl.load(entry + 3).to(tl.uint32)
    row = tl.load(entry + 4)
    _update_span(
        theta, grad, not_finite, coefficients, numel, index, row, lane,
        a_low.to(tl.uint32), a_high.to(tl.uint32), b_low.to(tl.uint32), b_high.to(tl.uint32),
        c_low.to(tl.uint32), c_high.to(tl.uint32), key_low.to(tl.uint32), key_high.to(tl.uint32),
        COUNT, HAS_GRAD, SIGNS, STOCHASTIC, ROWS,
    )  # fmt: skip
