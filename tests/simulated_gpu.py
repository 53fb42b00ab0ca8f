"""A simulated GPU: CPU memory that the library treats like a GPU's, for tests that also run on a real one.

`noise.on_cpu` is what the library asks, so a simulated GPU answers False: losses are not read, updates are
masked, and blocks are large. Its allocator is a counter of live tensor bytes. What a CPU cannot stand in for
(kernels, streams, TF32, several cards) is tested on real GPUs only.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar
from unittest import mock

import torch
from torch import Tensor

from addax import noise
from benchmarks.profiling.peak_memory import LiveBytes, run_in_thread

T = TypeVar("T")
GB = 1 << 30


class SimulatedGPU:
    """CPU memory in the role of a GPU.

    Attributes:
        place: the torch device of its tensors.
    """

    place = torch.device("cpu")

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Let the library treat the CPU as a GPU."""
        with mock.patch.object(noise, "on_cpu", return_value=False):
            yield

    def peak(self, resident: Iterable[Tensor], work: Callable[[], object]) -> int:
        """Return the peak bytes of live tensors during the work, including the resident ones."""

        def measure() -> int:
            with LiveBytes(resident) as tracker:
                work()
            return tracker.peak

        # A new thread has no scratch memory left over from larger tensors.
        return run_in_thread(measure)

    def with_memory(self, size: int, work: Callable[[], T]) -> T:
        """Return the result of the work, whose allocations fail once they exceed a number of bytes."""

        def limited() -> T:
            with _Limited(size):
                return work()

        return run_in_thread(limited)


class InterpretedGPU(SimulatedGPU):
    """A simulated GPU that runs the fused kernels, in triton's interpreter."""

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Let the library treat the CPU as a GPU with kernels. Few wide programs take the least time."""
        from addax.kernels import launch
        from tests.addax.kernels.interpreter import kernels_on_cpu

        with (
            super().in_use(),
            kernels_on_cpu(),
            mock.patch.object(launch, "WIDTH", 512),
            mock.patch.object(noise, "uses_kernels", return_value=True),
        ):
            yield


class RealGPU:
    """The first GPU of this machine, with the interface of `SimulatedGPU`."""

    place = torch.device("cuda", 0)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Do nothing."""
        yield

    def peak(self, _resident: Iterable[Tensor], work: Callable[[], object]) -> int:
        """Return the allocator's peak bytes during the work, including all tensors that exist."""
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(self.place)
        work()
        torch.cuda.synchronize(self.place)
        return torch.cuda.max_memory_allocated(self.place)

    def with_memory(self, size: int, work: Callable[[], T]) -> T:
        """Return the result of the work, whose allocations fail once they exceed a number of bytes."""
        torch.cuda.empty_cache()
        total = torch.cuda.mem_get_info(self.place)[1]
        torch.cuda.set_per_process_memory_fraction(
            (torch.cuda.memory_reserved(self.place) + size) / total, self.place
        )
        try:
            return work()
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0, self.place)
            torch.cuda.empty_cache()


class _Limited(LiveBytes):
    """A counter of live bytes that raises a GPU's out-of-memory error beyond a limit."""

    def __init__(self, limit: int) -> None:
        super().__init__([])
        self.limit = limit

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        before = self.live
        out = super().__torch_dispatch__(func, types, args, kwargs)
        if self.live > max(before, self.limit):
            size = (self.live - before) / GB
            # The new tensors are freed like those of a failed allocation.
            del out
            raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {size:.2f} GiB.")
        return out


GPUS = {"simulated": SimulatedGPU, "interpreted": InterpretedGPU, "cuda": RealGPU}
