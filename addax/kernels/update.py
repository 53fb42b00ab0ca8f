"""Update weights: theta <- round( theta - ( sum_k c_k z_k + c g ) ).

Cost: 1 launch per large tensor, and 1 for all small ones; 1 read and 1 write per weight, and 1 read per element
of the gradient.
Memory: a table of the small tensors (see `table.py`).
"""

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from addax.kernels import launch as launching
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
from addax.kernels.launch import Item, Traffic, is_fake, key_of, parts, programs_of, span
from addax.kernels.normals import four_normals
from addax.kernels.philox import LANES, four_signs, rounding_words, sign_word
from addax.kernels.table import FIELDS, table_of
from addax.kernels.types import HALF, TRITON, check

MAX_DIRECTIONS = 3


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
        t0 = coefficient * tl.where(is_finite(g0), g0, 0.0)
        t1 = coefficient * tl.where(is_finite(g1), g1, 0.0)
        t2 = coefficient * tl.where(is_finite(g2), g2, 0.0)
        t3 = coefficient * tl.where(is_finite(g3), g3, 0.0)
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
def _update_one(
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
def _update_table(
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


def update(
    items: Sequence[tuple[Tensor, int, Tensor | None]],
    step_seed: int,
    *,
    directions: Sequence[int] = (),
    direction: str = "normal",
    coefficients: Tensor,
    rounding: str = "stochastic",
    not_finite: Tensor | None = None,
) -> None:
    """Apply theta <- round(theta - (c_0 z_0 + c_1 z_1 + ... + c g)) to each item in place.

    Each product, each sum from left to right, and the difference are rounded to float32 (float64 for float64
    weights). A weight that is not finite stays as it is.

    Args:
        items: triples of theta, parameter index, and gradient of theta's shape. All items have a gradient, or
            none has. All thetas are contiguous, on one device, and of one dtype: bfloat16, float16, float32, or
            float64. The gradients are contiguous and of one such dtype, possibly another one.
        step_seed: the seed of the rounding bits.
        directions: the step seeds of the z_k, at most three.
        direction: "normal" or "rademacher".
        coefficients: shape (len(directions) + 1,), on the device: those of the z_k, then the gradient's.
            float32, or float64 for float64 weights.
        rounding: "stochastic" or "nearest"; ignored for float32 and float64.
        not_finite: int32 scalar on the device. It becomes 1 if an element of a gradient is not finite; such
            an element counts as 0. Required if there are gradients.

    Raises:
        ValueError: if an argument is unsupported or does not fit the others.
    """
    pairs = [Item(theta, grad, index) for theta, index, grad in items]
    if not pairs:
        return
    has_grad, count = pairs[0].second is not None, len(directions)
    check([[theta for theta, _, _ in items], [grad for _, _, grad in items if grad is not None]], direction)
    device, dtype = pairs[0].first.device, pairs[0].first.dtype
    _check(pairs, count, coefficients, rounding, not_finite)
    if not count and not has_grad:
        return
    keys = [key_of(seed) for seed in directions] + [(0, 0)] * (MAX_DIRECTIONS - count) + [key_of(step_seed)]
    words = tuple(word for key in keys for word in key)
    grad_dtype = pairs[0].second.dtype if has_grad else dtype
    size = 2 * dtype.itemsize + (grad_dtype.itemsize if has_grad else 0)
    constants = {
        "COUNT": count,
        "HAS_GRAD": has_grad,
        "SIGNS": direction == "rademacher",
        "STOCHASTIC": rounding == "stochastic" and dtype in HALF,
        "WIDTH": launching.WIDTH,
    }

    def one(item: Item) -> None:
        numel, rows = item.first.numel(), launching.ROWS[direction]
        if not is_fake(item.first):
            launching.launch(
                _update_one,
                programs_of(numel, rows),
                device,
                (item.first, item.second, not_finite, coefficients, numel, item.index, *words),
                Traffic(numel, size),
                **constants,
                ROWS=rows,
            )

    def together(small: Sequence[Item]) -> None:
        table = table_of(small, keep=not has_grad)
        if not is_fake(table):
            launching.launch(
                _update_table,
                len(table) * programs_of(1, launching.ROWS_OF_SMALL),
                device,
                (table, not_finite, coefficients, *words),
                Traffic(sum(item.first.numel() for item in small), size),
                **constants,
                DTYPE=TRITON[dtype],
                GRAD_DTYPE=TRITON[grad_dtype],
                ROWS=launching.ROWS_OF_SMALL,
                FIELDS=FIELDS,
            )

    parts(pairs, one, together)


def _check(
    pairs: Sequence[Item], count: int, coefficients: Tensor, rounding: str, not_finite: Tensor | None
) -> None:
    dtype = pairs[0].first.dtype
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    if count > MAX_DIRECTIONS:
        raise ValueError(f"{count} directions are too many: an update takes at most {MAX_DIRECTIONS}")
    if rounding not in ("stochastic", "nearest"):
        raise ValueError(f"rounding must be 'stochastic' or 'nearest', not {rounding!r}")
    if coefficients.shape != (count + 1,) or coefficients.dtype != wide:
        raise ValueError(
            f"coefficients must be {wide} of shape ({count + 1},), not {coefficients.dtype} of shape "
            f"{tuple(coefficients.shape)}"
        )
    if len({item.second is None for item in pairs}) > 1:
        raise ValueError("some items have a gradient and some do not: pass them in separate calls")
    for theta, grad, _ in pairs:
        if grad is not None and grad.shape != theta.shape:
            raise ValueError(
                f"a gradient of shape {tuple(grad.shape)} does not fit theta, {tuple(theta.shape)}"
            )
    if pairs[0].second is not None and (not_finite is None or not_finite.dtype != torch.int32):
        raise ValueError("items with gradients need `not_finite`, an int32 scalar on the device")
