"""Draw z itself, for tests, figures, and measurements. A step never stores z."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from addax.kernels import launch as launching
from addax.kernels.formats import count_of, four_rows, store_four
from addax.kernels.launch import Traffic, is_fake, key_of, programs_of, span
from addax.kernels.normals import four_normals
from addax.kernels.philox import LANES, four_signs, sign_word
from addax.kernels.types import check

# All streams begin anew with each multiple of this many elements.
PERIOD = 1 << 16


@triton.jit(
    do_not_specialize=["numel", "index", "key_low", "key_high", "before"],
    do_not_specialize_on_alignment=["out"],
)
def _draw(
    out, numel: tl.int64, index: tl.uint32, key_low: tl.uint32, key_high: tl.uint32, before: tl.int64,
    SIGNS: tl.constexpr, ROWS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    number, lane = span(WIDTH)
    # The memory begins at a multiple of 128 rows, so that its rows share words of signs in the same way.
    skipped = before.to(tl.int64)
    row = number * ROWS
    index = index.to(tl.uint32)
    low = key_low.to(tl.uint32)
    high = key_high.to(tl.uint32)
    word = lane
    if SIGNS:
        word = sign_word(skipped + row, lane, index, low, high)
    for quad in range(count_of(numel.to(tl.int64), row, 4, ROWS // 4)):
        first = row + quad * 4
        left = tl.minimum(numel.to(tl.int64) - first * LANES, 4 * LANES).to(tl.int32)
        if SIGNS:
            z0, z1, z2, z3 = four_signs(word, first)
        else:
            z0, z1, z2, z3 = four_normals(skipped + first, lane, index, low, high)
        store_four(four_rows(out, first), lane, left, z0, z1, z2, z3)


def draw(
    step_seed: int,
    index: int,
    shape: torch.Size,
    device: torch.device,
    direction: str = "normal",
    *,
    first: int = 0,
) -> Tensor:
    """Return z of one parameter, or of some of its elements: float32.

    Args:
        step_seed: the seed that defines z.
        index: the parameter's index.
        shape: the shape of the result.
        device: a CUDA device.
        direction: "normal" or "rademacher".
        first: the number of the first element, a multiple of 2^16.

    Raises:
        ValueError: if the direction is unknown, or if `first` is not a multiple of 2^16.
    """
    if first % PERIOD:
        raise ValueError(f"first must be a multiple of {PERIOD}, not {first}")
    z = torch.empty(shape, dtype=torch.float32, device=device)
    check([[z]], direction)
    if z.numel() and not is_fake(z):
        rows = launching.ROWS[direction]
        launching.launch(
            _draw,
            programs_of(z.numel(), rows),
            z.device,
            (z, z.numel(), index, *key_of(step_seed), first // LANES.value),
            Traffic(z.numel(), z.element_size()),
            SIGNS=direction == "rademacher",
            ROWS=rows,
            WIDTH=launching.WIDTH,
        )
    return z
