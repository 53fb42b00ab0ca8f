"""Update weights: theta <- round( theta - ( sum_k c_k z_k + c g ) ).

Cost: 1 launch per large tensor, and 1 for all small ones; 1 read and 1 write per weight, and 1 read per
element of the gradient.
Memory: a table of the small tensors (see `table.py`).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from addax.kernels import launch as launching
from addax.kernels import update_kernels as kernels
from addax.kernels.launch import Item, Traffic, is_fake, key_of, parts, programs_of
from addax.kernels.table import FIELDS, table_of
from addax.kernels.types import HALF, TRITON, check

MAX_DIRECTIONS = 3


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
            none has. All thetas are contiguous, on one device, and of one dtype: bfloat16, float16, float32,
            or float64. The gradients are contiguous and of one such dtype, possibly another one.
        step_seed: the seed of the rounding bits.
        directions: the step seeds of the z_k, at most three.
        direction: "normal" or "rademacher".
        coefficients: shape (len(directions) + 1,), on the device: those of the z_k, then the gradient's.
            float32, or float64 for float64 weights.
        rounding: "stochastic" or "nearest"; ignored for float32 and float64.
        not_finite: int32 scalar on the device. It becomes 1 if an element of a gradient is not finite; the
            weight of such an element does not move. Required if there are gradients.

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
                kernels.update_one,
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
                kernels.update_table,
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
