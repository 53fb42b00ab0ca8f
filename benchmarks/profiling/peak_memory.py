"""Measurement: peak memory, synchronised time, and what a row says of where it was made."""

import gc
import importlib.metadata
import itertools
import os
import platform
import subprocess
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch._C._profiler import _EventType
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.registry import ROOT

# What makes a row's numbers; regenerated figures and pages are no change of theirs.
SOURCES = ("addax", "baselines", "benchmarks", "constraints.txt", "pyproject.toml")
PACKAGES = ("torch", "transformers", "tokenizers", "numpy", "datasets")
T = TypeVar("T")


class LiveBytes(TorchDispatchMode):
    """Bytes of live tensors: those given at the start, and all that operators make until they die.

    Storage counts once, however many tensors share it. On a CPU this is what an allocator would report;
    resident-set size would count the interpreter, the libraries and freed pages too.

    Args:
        resident: tensors alive before (parameters, buffers, optimizer state).
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
    """Parameters, buffers and every tensor of the optimizer's state (moments, anchor)."""
    state = [leaf for leaf in tree_leaves(optimizer.state_dict()) if isinstance(leaf, Tensor)]
    return [*model.parameters(), *model.buffers(), *state]


class PeakMemory:
    """Peak bytes of training, evaluation excluded.

    On GPUs the allocator's peak, reset after loading and around evaluations; of a sharded model the sum of
    each GPU's own. On a CPU the peak of live tensor bytes in one step that sees the run's heaviest batches.

    Args:
        devices: those that hold parameters.

    Attributes:
        peak: bytes of tensors; None where it is not measured yet.
        reserved: bytes that the GPUs' allocator took for them from the driver; None on a CPU.
        driver: bytes in use on those GPUs, by everybody, as nvidia-smi shows them; None on a CPU.
    """

    def __init__(self, devices: Iterable[torch.device]) -> None:
        self.gpus = sorted({d for d in devices if d.type == "cuda"}, key=str)
        self.peak: int | None = None
        self.reserved: int | None = None
        self.driver: int | None = None

    @property
    def how(self) -> str:
        """How the peak was measured, for the result row."""
        return "cuda allocator" if self.gpus else "cpu live tensor bytes"

    def so_far(self) -> int | None:
        """The peak up to now, read during training; None where it is not measured yet."""
        if self.gpus:
            self.peak = max(self.peak or 0, sum(map(torch.cuda.max_memory_allocated, self.gpus)))
        return self.peak

    @contextmanager
    def training(self) -> Iterator[None]:
        """On GPUs, counts what happens inside."""
        for gpu in self.gpus:
            torch.cuda.synchronize(gpu)
            torch.cuda.reset_peak_memory_stats(gpu)
        yield
        for gpu in self.gpus:
            torch.cuda.synchronize(gpu)
        self.so_far()
        if self.gpus:
            # What the allocator has reserved it keeps, so the driver's count is at its peak too.
            self.reserved = max(self.reserved or 0, sum(map(torch.cuda.max_memory_reserved, self.gpus)))
            self.driver = max(self.driver or 0, sum(map(_in_use, self.gpus)))

    def heaviest_step(self, resident: Iterable[Tensor], step: Callable[[], None]) -> None:
        """On a CPU, counts one step, noise's scratch with it: in a thread that has none of it yet."""

        def work() -> int:
            gc.collect()
            with LiveBytes(resident) as tracker:
                step()
            return tracker.peak

        self.peak = in_a_thread(work)


def in_a_thread(work: Callable[[], T]) -> T:
    """What `work` returns, or raises, in a thread of its own."""
    with ThreadPoolExecutor(1, thread_name_prefix="addax-memory") as threads:
        return threads.submit(work).result()


def _in_use(gpu: torch.device) -> int:
    free, total = torch.cuda.mem_get_info(gpu)
    return total - free


def allocator_peak(work: Callable[[], None], resident: Iterable[Tensor]) -> dict[str, Any]:
    """What the device's allocator says of the peak of some work, in bytes, with what was there before.

    On GPUs the bytes of tensors, and beside them what the allocator reserved and what the driver says is in
    use by everybody. On a CPU the sum of the allocator's events, which torch's profiler hands over: it sees
    what an operator takes for itself, which `LiveBytes` cannot.

    Args:
        work: what to measure.
        resident: tensors alive before.
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
            "driver_bytes": _in_use(gpu),
        }
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        work()
    events = sorted(_allocations(profiled.profiler.kineto_results.experimental_event_tree()))
    alive = itertools.accumulate(size for _, size in events)
    return {
        "measured_bytes": sum(held.nbytes() for held in storages.values()) + max(alive, default=0),
        "measured_how": "cpu allocator events",
    }


def _allocations(events: Iterable[Any]) -> Iterator[tuple[int, int]]:
    """(nanoseconds, bytes) of every allocation, and of what is freed with a negative sign."""
    waiting = list(events)
    while waiting:
        event = waiting.pop()
        if event.tag == _EventType.Allocation:
            yield event.start_time_ns, event.extra_fields.alloc_size
        waiting.extend(event.children)


def now(device: torch.device) -> float:
    """Seconds of a monotonic clock, once the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


@cache
def provenance() -> dict[str, Any]:
    """Library versions, hardware and the state of the repository."""
    versions = {"python": platform.python_version(), "addax": importlib.metadata.version("addax")}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    commit = _git("rev-parse", "HEAD")
    dirty = _git("status", "--porcelain", "--untracked-files=no", "--", *SOURCES)
    return {
        "versions": versions,
        "hardware": _hardware(),
        "threads": torch.get_num_threads(),
        "git_commit": commit,
        "git_dirty": None if dirty is None else bool(dirty),
    }


def _git(*words: str) -> str | None:
    try:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _hardware() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as lines:
            names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        name = names[0] if names else name
    except OSError:
        pass
    return f"{name}, {os.cpu_count()} cores"
