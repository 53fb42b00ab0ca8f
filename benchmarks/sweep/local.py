"""Worker processes on this machine; when a worker dies, only its run is lost."""

import itertools
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from benchmarks.config.spec import RunSpec
from benchmarks.process import begin_worker
from benchmarks.sweep.executor import Died, T


class LocalExecutor:
    """An `Executor` of `jobs` processes, which share the machine's cores.

    The death of one process breaks a whole `ProcessPoolExecutor`. Each thread of this executor therefore uses
    a pool of one process, and starts another pool when that process dies.

    Args:
        jobs: number of processes.
        cards: names of GPUs for CUDA_VISIBLE_DEVICES. Process i may use only the GPU i modulo their number,
            which is its "cuda:0". Without names, every process may use all GPUs.
    """

    def __init__(self, jobs: int, cards: Sequence[str] = ()) -> None:
        self.jobs = jobs
        self._cards = cards
        self._lanes = itertools.count()
        self._context = multiprocessing.get_context("spawn")
        self._threads = ThreadPoolExecutor(jobs)
        self._local = threading.local()
        self._pools: list[ProcessPoolExecutor] = []
        self._lifelines: list[Connection] = []

    def submit(self, work: Callable[[RunSpec], T], spec: RunSpec) -> Future[T]:
        """See `Executor`."""
        return self._threads.submit(self._run, work, spec)

    def close(self, now: bool = False) -> None:
        """See `Executor`."""
        # Stop the threads first, so that they do not start another run.
        self._threads.shutdown(wait=not now, cancel_futures=now)
        if now:
            # Workers ignore signals to stop, so they end when their lifelines close.
            for lifeline in list(self._lifelines):
                lifeline.close()
        for pool in list(self._pools):
            pool.shutdown(wait=not now, cancel_futures=now)

    def _run(self, work: Callable[[RunSpec], T], spec: RunSpec) -> T:
        try:
            if getattr(self._local, "pool", None) is None:
                self._begin()
            return self._local.pool.submit(work, spec).result()
        except BrokenProcessPool:
            pool, self._local.pool = self._local.pool, None
            pool.shutdown(wait=False)
            self._pools.remove(pool)
            raise Died(_end_of(self._local.process)) from None

    def _begin(self) -> None:
        # The kernel closes `ours` when the sweep's process ends, even if it is killed. An event would not
        # work: if a worker is killed while it waits for an event, `set` never returns.
        theirs, ours = self._context.Pipe(duplex=False)
        self._lifelines.append(ours)
        if not hasattr(self._local, "lane"):
            # A process that replaces a dead one keeps its GPU.
            self._local.lane = next(self._lanes)
        card = self._cards[self._local.lane % len(self._cards)] if self._cards else None
        threads = max(1, (os.cpu_count() or 1) // self.jobs)
        start = {"initializer": _begin, "initargs": (threads, card, theirs)}
        pool = ProcessPoolExecutor(1, self._context, **start)
        self._local.pool, self._local.process = pool, None
        self._pools.append(pool)
        pid = pool.submit(os.getpid).result()
        self._local.process = next((p for p in multiprocessing.active_children() if p.pid == pid), None)


def _end_of(process: BaseProcess | None) -> str:
    """Describe how a worker process ended."""
    if process is None:
        return "its worker process could not start"
    # The thread of the pool also waits for the process. If it is first, this one sees no code until that
    # thread has stored it.
    deadline = time.monotonic() + 60
    while (code := process.exitcode) is None and time.monotonic() < deadline:
        time.sleep(0.01)
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        hint = ", as when the system is short of memory" if -code == signal.SIGKILL else ""
        return f"its worker process was ended by {name}{hint}"
    return f"its worker process ended with code {code}"


def _begin(threads: int, card: str | None, lifeline: Connection) -> None:
    # Ctrl-C in a terminal and SIGTERM from a job scheduler also reach the workers, but the sweep decides when
    # they end.
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()
    begin_worker(threads, card)


def _end_with(lifeline: Connection) -> None:
    """End this worker when its sweep ends, so that it cannot compete with the next sweep."""
    lifeline.poll(None)
    os._exit(1)
