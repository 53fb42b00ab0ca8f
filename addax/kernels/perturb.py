"""Perturb weights: out <- round( source + scale z ).

Cost: 1 launch per large tensor, and 1 for all small ones; 1 read and 1 write per weight.
Memory: a table of the small tensors (see `table.py`).
"""

from collections.abc import Sequence

import triton
import triton.language as tl
from torch import Tensor

from addax.kernels import launch as launching
from addax.kernels.formats import count_of, four_rows, load_four, nearest, store_four, widen
from addax.kernels.launch import Item, Traffic, bits_of, is_fake, key_of, parts, programs_of, span
from addax.kernels.normals import four_normals
from addax.kernels.philox import LANES, four_signs, sign_word
from addax.kernels.table import FIELDS, table_of
from addax.kernels.types import TRITON, check


@triton.jit
def _perturb_span(
    source, out, numel, index, row, lane, key_low, key_high, scale, SIGNS: tl.constexpr, ROWS: tl.constexpr
):
    word = lane
    if SIGNS:
        word = sign_word(row, lane, index, key_low, key_high)
    for quad in range(count_of(numel, row, 4, ROWS // 4)):
        first = row + quad * 4
        left = tl.minimum(numel - first * LANES, 4 * LANES).to(tl.int32)
        x0, x1, x2, x3 = load_four(four_rows(source, first), lane, left)
        if SIGNS:
            z0, z1, z2, z3 = four_signs(word, first)
        else:
            z0, z1, z2, z3 = four_normals(first, lane, index, key_low, key_high)
        y0 = nearest(widen(x0, scale.dtype) + scale * z0.to(scale.dtype), x0.dtype)
        y1 = nearest(widen(x1, scale.dtype) + scale * z1.to(scale.dtype), x1.dtype)
        y2 = nearest(widen(x2, scale.dtype) + scale * z2.to(scale.dtype), x2.dtype)
        y3 = nearest(widen(x3, scale.dtype) + scale * z3.to(scale.dtype), x3.dtype)
        store_four(four_rows(out, first), lane, left, y0, y1, y2, y3)


@triton.jit
def scalar_of(bits, dtype: tl.constexpr):
    """Return the scalar with these float64 bits in the dtype of a tensor's arithmetic."""
    x = bits.to(tl.int64).to(tl.float64, bitcast=True)
    if dtype == tl.float64:
        return x
    else:
        return x.to(tl.float32)


@triton.jit(
    do_not_specialize=["numel", "index", "key_low", "key_high", "scale"],
    do_not_specialize_on_alignment=["source", "out"],
)
def _perturb_one(
    source, out, numel: tl.int64, index: tl.uint32, key_low: tl.uint32, key_high: tl.uint32, scale: tl.int64,
    SIGNS: tl.constexpr, ROWS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    number, lane = span(WIDTH)
    _perturb_span(
        source, out, numel.to(tl.int64), index.to(tl.uint32), number * ROWS, lane,
        key_low.to(tl.uint32), key_high.to(tl.uint32), scalar_of(scale, source.dtype.element_ty), SIGNS, ROWS,
    )  # fmt: skip


@triton.jit(do_not_specialize=["key_low", "key_high", "scale"], do_not_specialize_on_alignment=["table"])
def _perturb_table(
    table, key_low: tl.uint32, key_high: tl.uint32, scale: tl.int64,
    DTYPE: tl.constexpr, SIGNS: tl.constexpr, ROWS: tl.constexpr, WIDTH: tl.constexpr, FIELDS: tl.constexpr,
):  # fmt: skip
    number, lane = span(WIDTH)
    entry = table + number * FIELDS
    source = tl.load(entry).to(tl.pointer_type(DTYPE))
    out = tl.load(entry + 1).to(tl.pointer_type(DTYPE))
    numel = tl.load(entry + 2)
    index = tl.load(entry + 3).to(tl.uint32)
    row = tl.load(entry + 4)
    _perturb_span(
        source, out, numel, index, row, lane,
        key_low.to(tl.uint32), key_high.to(tl.uint32), scalar_of(scale, DTYPE), SIGNS, ROWS,
    )  # fmt: skip


def perturb(
    items: Sequence[tuple[Tensor, Tensor, int]], step_seed: int, scale: float, direction: str = "normal"
) -> None:
    """Write out <- round(source + scale z) for each item.

    The arithmetic is float32 (float64 for float64 tensors), and the result is rounded to nearest.

    Args:
        items: triples of source, out (which may be the source), and parameter index. All tensors are
            contiguous, on one device, and of one dtype: bfloat16, float16, float32, or float64.
        step_seed: the seed that defines z.
        scale: the factor of z. Its rounding to float32 is used, unless the tensors are float64.
        direction: "normal" or "rademacher".

    Raises:
        ValueError: if the tensors' dtype, layout, or device, or the direction is unsupported.
    """
    pairs = [Item(source, out, index) for source, out, index in items]
    if not pairs:
        return
    check([[tensor for source, out, _ in items for tensor in (source, out)]], direction)
    for source, out, _ in items:
        if source.numel() != out.numel():
            raise ValueError(f"source and out have shapes {tuple(source.shape)} and {tuple(out.shape)}")
    device, dtype = pairs[0].first.device, pairs[0].first.dtype
    arguments = (*key_of(step_seed), bits_of(scale))
    signs, size = direction == "rademacher", 2 * dtype.itemsize

    def one(item: Item) -> None:
        numel, rows = item.first.numel(), launching.ROWS[direction]
        if not is_fake(item.first):
            launching.launch(
                _perturb_one,
                programs_of(numel, rows),
                device,
                (item.first, item.second, numel, item.index, *arguments),
                Traffic(numel, size),
                SIGNS=signs,
                ROWS=rows,
                WIDTH=launching.WIDTH,
            )

    def together(small: Sequence[Item]) -> None:
        table = table_of(small, keep=True)
        if not is_fake(table):
            launching.launch(
                _perturb_table,
                len(table) * programs_of(1, launching.ROWS_OF_SMALL),
                device,
                (table, *arguments),
                Traffic(sum(item.first.numel() for item in small), size),
                DTYPE=TRITON[dtype],
                SIGNS=signs,
                ROWS=launching.ROWS_OF_SMALL,
                WIDTH=launching.WIDTH,
                FIELDS=FIELDS,
            )

    parts(pairs, one, together)
