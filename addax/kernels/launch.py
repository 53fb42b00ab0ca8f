"""Launch kernels: the one place where they start, and what is common to all of their calls."""

import struct
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from addax.kernels.philox import LANES
from addax.seeds import hash_seed

# Tensors of at most this many elements share one launch.
SMALL = 1 << 16
# A program handles WIDTH lanes, a power of two up to 512, of some rows, a power of two from 8 to 32. One
# evaluation of Philox yields the signs of 32 rows.
WIDTH = 256
ROWS = {"normal": 8, "rademacher": 32}
ROWS_OF_SMALL = 8

_WORD = (1 << 32) - 1


class Traffic(NamedTuple):
    """What a launch reads and writes: the number of weights, and the bytes per weight."""

    weights: int
    bytes_per_weight: int


class Item(NamedTuple):
    """A tensor of a call: its elements are at `first`, the other tensor's (if any) at `second`."""

    first: Tensor
    second: Tensor | None
    index: int


def launch(
    kernel: Any,
    programs: int,
    device: torch.device,
    arguments: Sequence[Any],
    traffic: Traffic,
    **constants: Any,
) -> None:
    """Start a kernel on the current stream of a device.

    Args:
        kernel: a function decorated with `triton.jit`.
        programs: the number of programs.
        device: the device of all tensors.
        arguments: the arguments of the kernel at run time.
        traffic: what the kernel reads and writes. It is for whoever counts launches.
        **constants: the compile-time arguments of the kernel.
    """
    # Triton launches on the current device, whichever device the tensors are on.
    with torch.cuda.device(device) if device.type == "cuda" else nullcontext():
        # Contracted products and sums would differ between kernels, and from torch's.
        kernel[(programs,)](*arguments, **constants, num_warps=4, num_stages=1, enable_fp_fusion=False)


def is_fake(tensor: Tensor) -> bool:
    """Return whether a tensor has a shape but no values."""
    return tensor.is_meta or isinstance(tensor, FakeTensor)


def key_of(step_seed: int) -> tuple[int, int]:
    """Return the low and the high word of Philox's key of a step seed."""
    key = hash_seed(step_seed)
    return key & _WORD, key >> 32


def bits_of(x: float) -> int:
    """Return the bits of a float64 as a signed integer. Triton passes float arguments as float32."""
    return struct.unpack("<q", struct.pack("<d", x))[0]


def programs_of(numel: int, rows: int) -> int:
    """Return the number of programs for a tensor: a span of `rows` rows is shared by 512 / WIDTH programs."""
    return triton.cdiv(numel, rows * LANES.value) * (LANES.value // WIDTH)


def parts(
    items: Iterable[Item], launch_one: Callable[[Item], None], launch_all: Callable[[list[Item]], None]
) -> None:
    """Launch large items, and a small one that is alone, separately; launch all other small ones together."""
    small = []
    for item in items:
        if item.first.numel() > SMALL:
            launch_one(item)
        elif item.first.numel():
            small.append(item)
    if len(small) == 1:
        launch_one(small[0])
    elif small:
        launch_all(small)


@triton.jit
def span(WIDTH: tl.constexpr):
    """Return the number of a program's span of rows, int64, and its lanes, int32."""
    program = tl.program_id(0)
    lane = (program % (LANES // WIDTH)) * WIDTH + tl.arange(0, WIDTH)
    return (program // (LANES // WIDTH)).to(tl.int64), lane
