"""Device functions: read, round, and write four rows of a tensor of any floating dtype.

bfloat16 is read as int16, unpacked, rounded, and packed with integer operations. No card needs bfloat16
arithmetic, and the results do not depend on how a compiler lowers conversions.

Accesses are not vectorized: each warp reads and writes 32 neighboring elements. With vectors, the compiler
computes z in another layout and passes it through shared memory, at the cost of a barrier per row.
"""

import triton
import triton.language as tl

from addax.kernels.philox import LANES


@triton.jit
def four_rows(pointer, row):
    """Return a pointer to a row, an int64 scalar, of a flattened tensor. bfloat16 becomes int16."""
    if pointer.dtype.element_ty == tl.bfloat16:
        pointer = pointer.to(tl.pointer_type(tl.int16), bitcast=True)
    return pointer + row * LANES


@triton.jit
def count_of(numel, row, rows: tl.constexpr, most: tl.constexpr):
    """Return how many groups of `rows` rows begin from row `row` to the end of a tensor, at most `most`."""
    groups = (numel - row * LANES + (rows * LANES - 1)) // (rows * LANES)
    return tl.minimum(groups, most).to(tl.int32)


@triton.jit
def load_four(pointer, lane, left):
    """Read four rows. `left` is the number of elements from the first row to the end of the tensor."""
    x0 = tl.load(pointer + lane, mask=lane < left, other=0)
    x1 = tl.load(pointer + (lane + LANES), mask=lane + LANES < left, other=0)
    x2 = tl.load(pointer + (lane + 2 * LANES), mask=lane + 2 * LANES < left, other=0)
    x3 = tl.load(pointer + (lane + 3 * LANES), mask=lane + 3 * LANES < left, other=0)
    return x0, x1, x2, x3


@triton.jit
def store_four(pointer, lane, left, x0, x1, x2, x3):
    """Write four rows, as `load_four` reads them."""
    tl.store(pointer + lane, x0, mask=lane < left)
    tl.store(pointer + (lane + LANES), x1, mask=lane + LANES < left)
    tl.store(pointer + (lane + 2 * LANES), x2, mask=lane + 2 * LANES < left)
    tl.store(pointer + (lane + 3 * LANES), x3, mask=lane + 3 * LANES < left)


@triton.jit
def widen(x, wide: tl.constexpr):
    """Convert values as read to the dtype of the arithmetic. int16 holds bfloat16."""
    if x.dtype == tl.int16:
        return (x.to(tl.int32) << 16).to(tl.float32, bitcast=True).to(wide)
    else:
        return x.to(wide)


@triton.jit
def is_finite(x):
    """Return whether values are finite."""
    return tl.abs(x) < float("inf")


@triton.jit
def nearest(x, narrow: tl.constexpr):
    """Round to a dtype, to nearest even. int16 holds bfloat16."""
    if narrow == tl.int16:
        bits = x.to(tl.int32, bitcast=True)
        rounded = (tl.add(bits, 0x7FFF + ((bits >> 16) & 1), sanitize_overflow=False) >> 16).to(tl.int16)
        return tl.where(x == x, rounded, 0x7FC0)
    else:
        return x.to(narrow)


@triton.jit
def stochastic(x, random, narrow: tl.constexpr):
    """Round float32 to bfloat16 (int16) or float16 as `addax.rounding.stochastic_round` does.

    Args:
        x: float32, shape (n,).
        random: int32 in [0, 2^16), shape (n,).
        narrow: tl.int16 or tl.float16.
    """
    bits = x.to(tl.int32, bitcast=True)
    if narrow == tl.int16:
        rounded = (tl.add(bits, random, sanitize_overflow=False) >> 16).to(tl.int16)
        # The sum could turn a NaN into a number.
        return tl.where(x == x, rounded, 0x7FC0)
    else:
        normal = (tl.add(bits, random >> 3, sanitize_overflow=False) & -8192).to(tl.float32, bitcast=True)
        scaled = x * 16777216.0
        # The compiler's floor may flush subnormals.
        below = scaled.to(tl.int32).to(tl.float32)
        below = tl.where(below > scaled, below - 1.0, below)
        carry = (scaled - below) + random.to(tl.float32) * 0.0000152587890625 >= 1.0
        subnormal = (below + tl.where(carry, 1.0, 0.0)) * 0.000000059604644775390625
        small = (tl.abs(x) < 0.00006103515625) & (x != 0.0)
        rounded = tl.where(small, subnormal, normal)
        return tl.where(x == x, rounded, x).to(tl.float16)
