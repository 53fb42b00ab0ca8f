"""Peak memory: the bytes of live tensors on a CPU, the allocator's peak on GPUs."""

import gc
import itertools
import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch._C._profiler import _EventType
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.profiling.devices import gpus_of

T = TypeVar("T")


class LiveBytes(TorchDispatchMode):
    """Counter of the bytes of live tensors: the given ones, and those that operators create, until freed.

    A storage counts once, however many tensors share it. On a CPU, this is the number that an allocator
    would report. The resident set size would also count the interpreter, the libraries, and freed pages.

    Args:
        resident: tensors that exist already (parameters, buffers, optimizer state).
    """

    def __init__(self, resident: Iterable[Tensor]) -> None:
        super().__init__()
        self.live = 0
        self.peak = 0
        self._seen: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()
        for tensor in resident:
            self._track(tensor)

    def _track(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage in self._seen:
            return
        self._seen.add(storage)
        size = storage.nbytes()
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._freed, size)

    def _freed(self, size: int) -> None:
        self.live -= size

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor):
                self._track(leaf)
        return out


def tensors_of(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """Return the parameters, the buffers, and every tensor of the optimizer's state (moments, anchor)."""
    state = [leaf for leaf in tree_leaves(optimizer.state_dict()) if isinstance(leaf, Tensor)]
    return [*model.parameters(), *model.buffers(), *state]


class PeakMemory:
    """Peak memory of training, in bytes, without evaluation.

    On GPUs, this is the allocator's peak, which is reset after loading and after each evaluation; for a
    sharded model, it is the sum over its GPUs. On a CPU, it is the peak of live tensor bytes in one step on
    the heaviest batches of the run.

    Args:
        devices: the devices that hold parameters.

    Attributes:
        peak: peak bytes of tensors; None before the measurement.
        reserved: peak bytes that the allocator reserved from the driver; None on a CPU.
        driver: peak bytes in use by all processes on these GPUs, as nvidia-smi shows; None on a CPU.
    """

    def __init__(self, devices: Iterable[torch.device]) -> None:
        self.gpus = gpus_of(devices)
        self.peak: int | None = None
        self.reserved: int | None = None
        self.driver: int | None = None

    @property
    def how(self) -> str:
        """The measurement method, for the result row."""
        return "cuda allocator" if self.gpus else "cpu live tensor bytes"

    def so_far(self) -> int | None:
        """Return the peak so far, during training; None before the measurement."""
        if self.gpus:
            self.peak = max(self.peak or 0, sum(map(torch.cuda.max_memory_allocated, self.gpus)))
        return self.peak

    @contextmanager
    def training(self) -> Iterator[None]:
        """Measure the block on GPUs; do nothing on a CPU."""
        if self.gpus:
            # A reset sets the reserved peak to what is reserved now, which includes what evaluation left.
            torch.cuda.empty_cache()
        for gpu in self.gpus:
            torch.cuda.synchronize(gpu)
            torch.cuda.reset_peak_memory_stats(gpu)
        yield
        for gpu in self.gpus:
            torch.cuda.synchronize(gpu)
        self.so_far()
        if self.gpus:
            # The allocator does not return reserved memory, so the driver's current count is its peak.
            self.reserved = max(self.reserved or 0, sum(map(torch.cuda.max_memory_reserved, self.gpus)))
            self.driver = max(self.driver or 0, sum(map(_bytes_in_use, self.gpus)))

    def heaviest_step(self, resident: Iterable[Tensor], step: Callable[[], None]) -> None:
        """Measure one step on a CPU.

        The step runs in a new thread, which allocates new scratch memory for the noise, so that it counts.
        """

        def work() -> int:
            gc.collect()
            with LiveBytes(resident) as tracker:
                step()
            return tracker.peak

        self.peak = run_in_thread(work)


def run_in_thread(work: Callable[[], T]) -> T:
    """Call `work` in a new thread, and return its result or raise its exception."""
    with ThreadPoolExecutor(1, thread_name_prefix="addax-memory") as threads:
        return threads.submit(work).result()


def _bytes_in_use(gpu: torch.device) -> int:
    free, total = torch.cuda.mem_get_info(gpu)
    return total - free


def allocator_peak(work: Callable[[], None], resident: Iterable[Tensor]) -> dict[str, Any]:
    """Measure the peak bytes of a function with the device's allocator, including the resident tensors.

    On GPUs, the result also contains the bytes that the allocator reserved, and the bytes in use by all
    processes. On a CPU, the peak is computed from the allocator events of torch's profiler. Unlike
    `LiveBytes`, these include the temporary memory inside operators.

    Args:
        work: the function to measure.
        resident: tensors that exist already.
    """
    storages = {tensor.untyped_storage()._cdata: tensor.untyped_storage() for tensor in resident}
    gpu = next(iter(storages.values())).device
    if gpu.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(gpu)
        work()
        torch.cuda.synchronize(gpu)
        return {
            "measured_bytes": torch.cuda.max_memory_allocated(gpu),
            "measured_how": "cuda allocator",
            "reserved_bytes": torch.cuda.max_memory_reserved(gpu),
            "driver_bytes": _bytes_in_use(gpu),
        }
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        work()
    events = sorted(_allocations(profiled.profiler.kineto_results.experimental_event_tree()))
    live = itertools.accumulate(size for _, size in events)
    return {
        "measured_bytes": sum(storage.nbytes() for storage in storages.values()) + max(live, default=0),
        "measured_how": "cpu allocator events",
    }


def _allocations(events: Iterable[Any]) -> Iterator[tuple[int, int]]:
    """Yield (nanoseconds, bytes) of every allocation; the bytes of a deallocation are negative."""
    pending = list(events)
    while pending:
        event = pending.pop()
        if event.tag == _EventType.Allocation:
            yield event.start_time_ns, event.extra_fields.alloc_size
        pending.extend(event.children)
