"""Runs on a Ray cluster: each run gets one GPU, or an equal share of a node's cores.

Workers write rows themselves, so all nodes must share the folder of this repository.
"""

import functools
import logging
import os
import socket
import tempfile
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError, Future, wait
from pathlib import Path
from typing import Any, TypeVar

from benchmarks import registry
from benchmarks.config.spec import RunSpec
from benchmarks.errors import UserError
from benchmarks.process import begin_worker
from benchmarks.results import store
from benchmarks.sweep.executor import Died

try:
    import ray
    from ray._private.services import canonicalize_bootstrap_address_or_die
    from ray.exceptions import (
        LocalRayletDiedError,
        NodeDiedError,
        ObjectLostError,
        OutOfMemoryError,
        RayError,
        RayTaskError,
        TaskCancelledError,
        WorkerCrashedError,
    )
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
except ImportError:
    # Importing this module needs no Ray; creating an executor does.
    ray = None

T = TypeVar("T")

# Timeouts in seconds: for an address to answer, a new node to start a process, and stopped runs to end.
CONNECT, PROBE, STOP = 5, 120, 10
# Bytes of the object store, which stays almost empty because rows are on disk. Ray's minimum is 75 MiB.
OBJECT_STORE = 80 * 2**20


class RayExecutor:
    """An `Executor` on a Ray cluster, which may grow and shrink during the sweep.

    On CPUs, a worker process serves many runs. On GPUs, each run gets a new process: a process cannot move to
    another GPU, and it would hold on to the GPU memory of its last run.

    Args:
        address: `host:port` of a cluster that this machine belongs to, "auto" for the cluster that was
            started on this machine, or None for a new cluster of this machine only. A new cluster ends with
            the executor.
        device: "cpu", or "cuda" for one GPU per run.
        per_node: simultaneous runs per node. Each gets an equal share of the cores of a node (of the largest
            node if they differ). None means one run per core, or one per GPU.

    Raises:
        UserError: Ray is missing, no cluster answers, no node can run these specs, or a node cannot access
            the shared folder.
    """

    def __init__(self, address: str | None, device: str, per_node: int | None = None) -> None:
        if ray is None:
            raise UserError('--executor ray needs Ray: pip install -e ".[ray]"')
        if device not in ("cpu", "cuda"):
            raise UserError(
                f"--executor ray supports --device cuda (one GPU per run) and --device cpu, not {device}"
            )
        self._gpu = device == "cuda"
        self._pending: dict[Future, Any] = {}
        self._lock = threading.Lock()
        _connect(address)
        try:
            self._threads = threads_per_run(map(_size, _nodes()), self._gpu, per_node)
            _check_shared_folder()
        except BaseException:
            ray.shutdown()
            raise
        resources = {"num_cpus": self._threads, "num_gpus": int(self._gpu), "max_calls": int(self._gpu)}
        # The scheduler decides on retries, so Ray must not retry.
        self._task = ray.remote(max_retries=0, **resources)(_run)

    @property
    def jobs(self) -> int:
        """Number of simultaneous runs on the current nodes."""
        return sum(_slots(_size(node), self._gpu, self._threads) for node in _nodes())

    def submit(self, work: Callable[[RunSpec], T], spec: RunSpec) -> Future[T]:
        """Queue a run, see `Executor`; it waits until a node has room for it."""
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()
        ref = self._task.remote(work, spec, os.getcwd(), self._threads)
        with self._lock:
            self._pending[future] = ref
        ref.future().add_done_callback(functools.partial(self._settle, future))
        return future

    def close(self, now: bool = False) -> None:
        """Disconnect from the cluster, see `Executor`; stop the cluster only if this executor started it."""
        with self._lock:
            pending = dict(self._pending)
        if now:
            for ref in pending.values():
                ray.cancel(ref, force=True)
        wait(pending, timeout=STOP if now else None)
        ray.shutdown()

    def _settle(self, future: Future, done: Future) -> None:
        with self._lock:
            del self._pending[future]
        error = done.exception()
        if error is None:
            future.set_result(done.result())
        else:
            future.set_exception(_translated(error))


def threads_per_run(nodes: Iterable[tuple[int, int]], gpu: bool, per_node: int | None) -> int:
    """Return the number of cores that each run gets.

    Args:
        nodes: (cores, GPUs) of each node.
        gpu: whether a run needs a GPU.
        per_node: simultaneous runs per node; None means one per core, or one per GPU.

    Raises:
        UserError: no node has a core, or a GPU if one is needed.

    >>> threads_per_run([(8, 0), (4, 0)], gpu=False, per_node=2)
    4
    >>> threads_per_run([(0, 0), (64, 8), (32, 2)], gpu=True, per_node=None)
    8
    """
    fit = [(cores, gpus if gpu else cores) for cores, gpus in nodes if cores and (gpus or not gpu)]
    if not fit:
        raise UserError(f"no node of the Ray cluster has {'a GPU' if gpu else 'CPU cores'}")
    if per_node is None:
        return max(1, min(cores // runs for cores, runs in fit))
    return max(1, max(cores for cores, _ in fit) // per_node)


def _slots(size: tuple[int, int], gpu: bool, threads: int) -> int:
    cores, gpus = size
    return min(cores // threads, gpus) if gpu else cores // threads


def _nodes() -> list[dict[str, Any]]:
    return [node for node in ray.nodes() if node["Alive"]]


def _size(node: dict[str, Any]) -> tuple[int, int]:
    return int(node["Resources"].get("CPU", 0)), int(node["Resources"].get("GPU", 0))


def _connect(address: str | None) -> None:
    # Nodes import this code from the shared folder, so that nothing has to be uploaded.
    path = os.pathsep.join(filter(None, (str(registry.ROOT), os.environ.get("PYTHONPATH"))))
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        new = {"address": "local", "include_dashboard": False, "object_store_memory": OBJECT_STORE}
    else:
        _check_answer(address)
        new = {"address": address}
    try:
        ray.init(**new, **quiet, runtime_env={"env_vars": {"PYTHONPATH": path}})
    except (OSError, RuntimeError, ValueError, RayError) as error:
        where = "on this machine" if address is None else f"at {address}"
        raise UserError(f"no Ray cluster {where}: {_line(error)}") from None


def _check_answer(address: str) -> None:
    """Raise a `UserError` if nothing answers at an address; Ray itself would wait for minutes."""
    try:
        host, _, port = canonicalize_bootstrap_address_or_die(address).rpartition(":")
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT).close()
    except ValueError:
        raise UserError(f"--ray-address must be host:port or auto, not {address!r}") from None
    except OSError as error:
        reason = _line(error) if address != "auto" else "start one here with `ray start`, or pass host:port"
        raise UserError(f"--ray-address {address}: no Ray cluster answers ({reason})") from None


def _check_shared_folder() -> None:
    """Raise a `UserError` unless every node can access a file that this process creates."""
    store.RUNS.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=store.RUNS, prefix=".shared-") as token:
        probe = ray.remote(max_retries=0, num_cpus=0)(_missing)
        probes = {}
        for node in _nodes():
            on_node = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            probes[probe.options(scheduling_strategy=on_node).remote([os.getcwd(), token.name])] = node
        for ref, node in probes.items():
            name = f"node {node['NodeManagerHostname']} ({node['NodeManagerAddress']}) of the Ray cluster"
            try:
                missing = ray.get(ref, timeout=PROBE)
            except RayError as error:
                if all(node["NodeID"] != other["NodeID"] for other in _nodes()):
                    # The node was lost in the meantime, so no run will use it.
                    continue
                shared = f"the code in {registry.ROOT}, which all nodes must share"
                raise UserError(f"{name} cannot run {shared}: {_line(error)}") from None
            if missing:
                folder = Path(missing[0]).parent if missing[0] == token.name else missing[0]
                raise UserError(f"{name} cannot access {folder} of this machine, which all nodes must share")


def _missing(paths: list[str]) -> list[str]:
    return [path for path in paths if not os.path.exists(path)]


def _run(work: Callable[[RunSpec], T], spec: RunSpec, folder: str, threads: int) -> T:
    """Run `work` in a worker, in the working directory of the sweep."""
    os.chdir(folder)
    begin_worker(threads)
    return work(spec)


def _translated(error: BaseException) -> BaseException:
    """Translate an error from Ray into the exception that the run's future raises."""
    match error:
        case RayTaskError(cause=BaseException() as cause):
            # Keep Ray's error as the cause: it shows where the worker raised the exception.
            cause.__cause__ = error
            return cause
        case NodeDiedError() | ObjectLostError():
            return Died("its node was lost", node_lost=True)
        case OutOfMemoryError():
            return Died("its worker process was killed by Ray: the node's memory is almost full")
        case WorkerCrashedError():
            return Died("its worker process died")
        case TaskCancelledError():
            return CancelledError()
        case LocalRayletDiedError():
            return UserError(
                "Ray stopped on this machine. Finished runs are kept; repeat the command to continue"
            )
    return error


def _line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
