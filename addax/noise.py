"""Noise: random directions z as a pure function of (step seed, parameter index).

    normal:      z ~ N(0, I)
    rademacher:  every element of z is -1 or 1 with equal probability

Both have mean 0 and covariance I. E[z^4] is 3 for normals and 1 for signs (Spall, IEEE TAC 37(3), 1992).

A tensor is split into blocks, whose size is part of the definition of z. Block b of parameter i is drawn in
float32 from a separate generator, which is seeded by a keyed bijection of (stream, i, b). All streams of a
step are therefore distinct by construction (`addax.seeds`). z does not depend on dtype, visiting order, or
other parameters, and blocks can be drawn on all cores.

This is the implementation "torch". z is the same on all CPUs. torch's generators on other devices draw
different z, which may depend on the model of the device. On CUDA devices with triton, fused kernels draw the
implementation "philox", which is the same on all cards (`addax.kernels`).
"""

import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache, lru_cache

import torch
from torch import Tensor

from addax import fused
from addax.kernels.available import unavailable
from addax.seeds import NORMAL, ROUNDING, SIGNS, hash_seed, stream_seed

# On a CPU, a block and its z fit in the second-level cache. On a GPU, blocks are large, so that kernel
# launches take negligible time.
CPU_BLOCK = 1 << 18
GPU_BLOCK = 1 << 24
# If fused kernels draw z, blocks do not define it. Only the published arithmetic uses them.
FUSED_BLOCK = 1 << 22

DIRECTIONS = ("normal", "rademacher")
IMPLEMENTATIONS = ("torch", "philox")
_LOWEST = -(1 << 63)


def on_cpu(device: torch.device) -> bool:
    """Return whether a device is the CPU."""
    return device.type == "cpu"


def uses_kernels(device: torch.device) -> bool:
    """Return whether fused kernels draw the noise on a device. Announce once that a CUDA device has none."""
    return device.type == "cuda" and _can_run_kernels(device)


@cache
def _can_run_kernels(device: torch.device) -> bool:
    reason = unavailable(device)
    if reason is not None:
        warnings.warn(
            f"steps on {device} use torch operators, which take longer than the fused kernels and draw other "
            f"directions: {reason}",
            stacklevel=2,
        )
    return reason is None


def implementation(device: torch.device) -> str:
    """Return the name of the implementation that draws the noise on a device: "torch" or "philox"."""
    return "philox" if uses_kernels(device) else "torch"


def block_size(device: torch.device) -> int:
    """Return the number of elements of a block on a device."""
    if on_cpu(device):
        return CPU_BLOCK
    return FUSED_BLOCK if uses_kernels(device) else GPU_BLOCK


def blocks(numel: int, device: torch.device) -> Iterator[tuple[int, slice]]:
    """Yield (block number, slice of its elements) for a flattened tensor of `numel` elements."""
    size = block_size(device)
    for block, start in enumerate(range(0, numel, size)):
        yield block, slice(start, min(start + size, numel))


class Workspace(threading.local):
    """One thread's generators and scratch memory by device, which all of its blocks share."""

    def __init__(self) -> None:
        self.generators: dict[torch.device, torch.Generator] = {}
        self.buffers: dict[tuple[torch.device, torch.dtype, str], Tensor] = {}

    def generator(self, device: torch.device) -> torch.Generator:
        """Return the thread's generator on a device."""
        if device not in self.generators:
            self.generators[device] = torch.Generator(device=device)
        return self.generators[device]

    def buffer(self, numel: int, device: torch.device, dtype: torch.dtype, use: str) -> Tensor:
        """Return scratch memory of shape (numel,), which the thread's next request with this use gets too."""
        buffer = self.buffers.get((device, dtype, use))
        if buffer is None or buffer.numel() < numel:
            if torch._C._get_dispatch_mode(torch._C._TorchDispatchModeKey.FAKE) is not None:
                # A fake tensor must not outlive its mode.
                return torch.empty(numel, device=device, dtype=dtype)
            # A tensor that is created in inference mode could not be written to outside of it.
            with torch.inference_mode(False):
                buffer = torch.empty(numel, device=device, dtype=dtype)
            self.buffers[device, dtype, use] = buffer
        return buffer if buffer.numel() == numel else buffer[:numel]


workspace = Workspace()


def direction(
    step_seed: int, index: int, block: int, numel: int, device: torch.device, kind: str = "normal"
) -> Tensor:
    """Draw z of one block: float32, shape (numel,), in memory that this thread's next draw overwrites."""
    if uses_kernels(device):
        return fused.draw(step_seed, index, numel, device, kind, first=block * block_size(device))
    generator = workspace.generator(device)
    if kind == "normal":
        generator.manual_seed(stream_seed(step_seed, index, block, NORMAL, device.type))
        return workspace.buffer(numel, device, torch.float32, "z").normal_(generator=generator)
    generator.manual_seed(stream_seed(step_seed, index, block, SIGNS, device.type))
    words = -(-numel // 64)
    bits = workspace.buffer(words, device, torch.int64, "bits").random_(_LOWEST, None, generator=generator)
    return _look_up_signs(bits, workspace.buffer(64 * words, device, torch.float32, "z"))[:numel]


def draw_first_blocks(
    step_seed: int, sizes: Sequence[tuple[int, int]], device: torch.device, kind: str = "normal"
) -> list[Tensor]:
    """Draw z of the first blocks of several parameters, in new memory.

    Args:
        step_seed: seed of z.
        sizes: (parameter index, number of elements) of each block.
        device: the device of z.
        kind: one of `DIRECTIONS`.

    Returns:
        The z of each block: float32, shape (number of elements,).
    """
    if uses_kernels(device):
        return [fused.draw(step_seed, index, numel, device, kind) for index, numel in sizes]
    generator = workspace.generator(device)
    stream = NORMAL if kind == "normal" else SIGNS
    numels = [numel for _, numel in sizes]
    if kind == "normal":
        drawn = torch.empty(sum(numels), dtype=torch.float32, device=device).split(numels)
        for (index, _), part in zip(sizes, drawn, strict=True):
            generator.manual_seed(stream_seed(step_seed, index, 0, stream, device.type))
            part.normal_(generator=generator)
        return list(drawn)
    words = [-(-numel // 64) for numel in numels]
    bits = torch.empty(sum(words), dtype=torch.int64, device=device)
    for (index, _), part in zip(sizes, bits.split(words), strict=True):
        generator.manual_seed(stream_seed(step_seed, index, 0, stream, device.type))
        part.random_(_LOWEST, None, generator=generator)
    signs = torch.empty(64 * bits.numel(), dtype=torch.float32, device=device)
    _look_up_signs(bits, signs)
    parts = signs.split([64 * count for count in words])
    return [part[:numel] for part, numel in zip(parts, numels, strict=True)]


def _look_up_signs(bits: Tensor, signs: Tensor) -> Tensor:
    """Write the sign of every bit: int64, shape (n,) to float32, shape (64 n,)."""
    # One lookup turns a byte of random bits into eight signs.
    rows = workspace.buffer(8 * bits.numel(), bits.device, torch.int32, "bytes")
    rows.copy_(bits.view(torch.uint8))
    torch.index_select(_signs_of_bytes(bits.device), 0, rows, out=signs.view(-1, 8))
    return signs


def _signs_of_bytes(device: torch.device) -> Tensor:
    """Return the signs of the bits of every byte, the lowest bit first: float32, shape (256, 8)."""
    table = workspace.buffers.get((device, torch.float32, "signs"))
    if table is None:
        table = workspace.buffer(256 * 8, device, torch.float32, "signs").view(256, 8)
        byte, bit = (torch.arange(n, device=device) for n in (256, 8))
        table.copy_(1 - 2 * (byte[:, None] >> bit & 1))
    return table.view(256, 8)


def random_bits(step_seed: int, index: int, block: int, numel: int, device: torch.device) -> Tensor:
    """Draw 16 uniform bits per element: int32, shape (numel,), in memory that the next draw overwrites.

    On a CPU, a step draws the bits of one block, and every block XORs them with a random key of its own.
    The bits of two elements are therefore independent, so that sums of rounding errors have the same mean and
    variance as with bits that are all independent.
    """
    if not on_cpu(device):
        generator = workspace.generator(device)
        generator.manual_seed(stream_seed(step_seed, index, block, ROUNDING, device.type))
        return workspace.buffer(numel, device, torch.int32, "bits").random_(0, 1 << 16, generator=generator)
    words = -(-numel // 4)
    key = hash_seed(step_seed, ROUNDING, index, block)
    keyed = workspace.buffer(words, device, torch.int64, "bits")
    torch.bitwise_xor(_step_bits(step_seed)[:words], key - (key >> 63 << 64), out=keyed)
    bits = workspace.buffer(4 * words, device, torch.int32, "rounding")
    return bits.copy_(keyed.view(torch.uint16))[:numel]


@lru_cache(1)
def _step_bits(step_seed: int) -> Tensor:
    """Return a step's random bits of one block on a CPU: int64, shape (CPU_BLOCK / 4,)."""
    generator = torch.Generator().manual_seed(stream_seed(step_seed, 0, 0, ROUNDING, "cpu"))
    with torch.inference_mode(False):
        return torch.empty(CPU_BLOCK // 4, dtype=torch.int64).random_(_LOWEST, None, generator=generator)


def draw(step_seed: int, index: int, shape: torch.Size, device: torch.device, kind: str = "normal") -> Tensor:
    """Draw the whole z of one parameter: float32, in the parameter's shape.

    This function is for tests, figures, and measurements. A step draws z block by block.
    """
    z = torch.empty(shape, device=device, dtype=torch.float32)
    flat = z.view(-1)
    for block, part in blocks(flat.numel(), device):
        flat[part] = direction(step_seed, index, block, part.stop - part.start, device, kind)
    return z


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="addax-noise")


def for_blocks(
    numel: int, device: torch.device, work: Callable[[int, slice], None], *, kind: str | None = "normal"
) -> None:
    """Call `work(block, elements)` for every block of one tensor; see `for_all_blocks`."""
    for_all_blocks([numel], device, lambda _number, block, part: work(block, part), kind=kind)


def for_all_blocks(
    numels: Sequence[int],
    device: torch.device,
    work: Callable[[int, int, slice], None],
    *,
    kind: str | None = "normal",
) -> None:
    """Call `work(number of the tensor, block, elements)` for every block of tensors of these sizes.

    Args:
        numels: the numbers of elements.
        device: the device of the tensors.
        work: the function to call.
        kind: the direction that the calls draw; None if they draw none. torch draws normals on one thread,
            so on a CPU, this thread and as many others as torch uses share the calls. All other operators
            use these threads themselves.
    """
    jobs = [(number, *job) for number, numel in enumerate(numels) for job in blocks(numel, device)]
    shared = on_cpu(device) and kind == "normal" and sum(numels) > CPU_BLOCK
    threads = torch.get_num_threads() if shared else 1
    if threads == 1:
        for job in jobs:
            work(*job)
        return
    # The draws release the interpreter lock.
    remaining = iter(jobs)

    def run() -> None:
        # Gradient mode is per thread, and threads of a pool do not inherit it from the caller.
        with torch.no_grad():
            for job in remaining:
                work(*job)

    # Otherwise each of these threads would start as many threads again for its operators.
    torch.set_num_threads(1)
    others = [_pool(threads - 1).submit(run) for _ in range(threads - 1)]
    try:
        run()
    finally:
        wait(others)
        torch.set_num_threads(threads)
    for other in others:
        other.result()
