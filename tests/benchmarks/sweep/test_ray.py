"""Tests of runs on a local Ray cluster with two nodes. One of the nodes is killed."""

import contextlib
import importlib
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import FIRST_EXCEPTION, CancelledError, wait
from functools import partial
from pathlib import Path

import pytest

from benchmarks import registry
from benchmarks.errors import UserError
from benchmarks.results import store
from benchmarks.sweep.executor import Died

pytest.importorskip("ray", reason="needs the extra `ray`")

import ray
from ray.cluster_utils import Cluster

from benchmarks.sweep.ray import RayExecutor, threads_per_run

pytestmark = [pytest.mark.process, pytest.mark.slow]

# Ray is configured with a GPU that does not exist; nothing uses it.
NODE = {"num_cpus": 1, "num_gpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}


@pytest.fixture(scope="module")
def cluster():
    """Start a cluster of two nodes with one core each; a test removes the second node."""
    cluster = Cluster()
    cluster.add_node(**NODE)
    cluster.second = cluster.add_node(**NODE)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture(scope="module")
def executor(cluster):
    """Start one executor for all tests, in their order, because a worker process takes seconds to start."""
    executor = RayExecutor(cluster.address, "cpu")
    yield executor
    executor.close(now=True)


def location(spec):
    """Return the spec, and the node, process, folder, threads, and environment that it runs in."""
    import torch

    node = ray.get_runtime_context().get_node_id()
    return spec, node, os.getpid(), os.getcwd(), torch.get_num_threads(), os.environ["TOKENIZERS_PARALLELISM"]


def begin(folder, spec, seconds):
    """Write a file that names the node, sleep, and write another file at the end."""
    (Path(folder) / f"{spec}.{os.getpid()}.begun").write_text(ray.get_runtime_context().get_node_id())
    time.sleep(seconds)
    (Path(folder) / f"{spec}.{os.getpid()}.done").touch()
    return spec


def visible(spec):
    return os.environ["CUDA_VISIBLE_DEVICES"], os.getpid()


def steady(folder, spec):
    return begin(folder, spec, 3.0)


def endless(folder, spec):
    return begin(folder, spec, 600)


def kill_itself(spec):
    os.kill(os.getpid(), signal.SIGKILL)


def rejected(spec):
    raise UserError(f"{spec} is rejected")


def until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def test_runs_are_spread_over_nodes_and_share_worker_processes(executor):
    assert executor.jobs == 2
    done = [f.result(60) for f in [executor.submit(location, i) for i in range(8)]]
    assert [row[0] for row in done] == list(range(8))
    assert {row[3:] for row in done} == {(os.getcwd(), 1, "false")}
    nodes = {row[1] for row in done}
    # Each node runs all its specs in one process.
    assert len(nodes) == len({row[2] for row in done}) == 2


def test_a_dead_process_costs_only_its_run(executor):
    death = executor.submit(kill_itself, "a").exception(60)
    assert isinstance(death, Died)
    assert not death.node_lost
    assert str(death) == "its worker process died"
    assert executor.submit(location, "b").result(60)[0] == "b"


def test_an_exception_in_a_run_is_raised_unchanged_by_its_future(executor):
    error = executor.submit(rejected, "this").exception(60)
    assert type(error) is UserError
    assert str(error) == "this is rejected"
    assert "in rejected" in str(error.__cause__)


def test_runs_on_a_lost_node_finish_on_another_node(executor, cluster, tmp_path):
    work = partial(steady, str(tmp_path))
    futures = {executor.submit(work, f"run{i}"): f"run{i}" for i in range(4)}
    lost = cluster.second.node_id
    until(lambda: lost in {f.read_text() for f in tmp_path.glob("*.begun")})
    cluster.remove_node(cluster.second, allow_graceful=False)
    died, finished = [], []
    while futures:
        for future in wait(futures, timeout=60, return_when=FIRST_EXCEPTION).done:
            spec = futures.pop(future)
            if death := future.exception():
                assert isinstance(death, Died)
                assert death.node_lost
                died.append(spec)
                futures[executor.submit(work, spec)] = spec
            else:
                finished.append(future.result())
    assert died
    until(lambda: executor.jobs == 1)
    assert sorted(finished) == [f"run{i}" for i in range(4)]
    # Runs on the lost node started twice, but every run finished once.
    begun, done = (Counter(f.name.split(".")[0] for f in tmp_path.glob(f"*.{s}")) for s in ("begun", "done"))
    assert {spec for spec, times in begun.items() if times > 1} == set(died)
    assert set(done.values()) == {1}
    assert len(done) == 4


def test_closing_now_stops_current_runs_and_leaves_the_cluster_running(executor, cluster, tmp_path):
    futures = [executor.submit(partial(endless, str(tmp_path)), i) for i in range(4)]
    begun = until(lambda: list(tmp_path.glob("*.begun")))
    start = time.monotonic()
    executor.close(now=True)
    assert time.monotonic() - start < 10
    assert all(isinstance(f.exception(0), CancelledError) for f in futures)
    until(lambda: not any(alive(file.name.split(".")[1]) for file in begun))
    assert cluster.head_node.any_processes_alive()
    again = RayExecutor(cluster.address, "cuda")
    assert again.jobs == 1 + (cluster.second in cluster.worker_nodes)
    devices, processes = zip(
        *(f.result(60) for f in [again.submit(visible, i) for i in range(3)]), strict=True
    )
    again.close()
    # Every run got the node's only GPU and a new process.
    assert (set(devices), len(set(processes))) == ({"0"}, 3)


def test_an_unusable_cluster_gives_a_one_line_error(cluster, tmp_path, monkeypatch):
    ray.shutdown()
    with pytest.raises(UserError, match="--device cpu, not auto"):
        RayExecutor(cluster.address, "auto")
    for address, message in (
        ("127.0.0.1:1", "127.0.0.1:1: no Ray cluster answers"),
        ("nonsense", "host:port or auto, not 'nonsense'"),
    ):
        start = time.monotonic()
        with pytest.raises(UserError, match=message) as error:
            RayExecutor(address, "cpu")
        assert "\n" not in str(error.value)
        assert time.monotonic() - start < 8
    # Simulate a node that has not mounted the shared folder.
    monkeypatch.setattr(store, "RUNS", tmp_path)
    monkeypatch.setattr("benchmarks.sweep.ray._missing", lambda paths: paths[1:])
    with pytest.raises(UserError, match=rf"node \S+ \(.*cannot access {tmp_path} of this machine") as error:
        RayExecutor(cluster.address, "cpu")
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []
    assert not ray.is_initialized()


def test_an_interrupt_ends_a_cluster_that_the_executor_started(tmp_path):
    """A shell sends the interrupt to all processes of the sweep, including Ray's."""
    script = tmp_path / "parent.py"
    script.write_text(
        "import sys\n"
        "from functools import partial\n"
        "from benchmarks.sweep.ray import RayExecutor\n"
        "from tests.benchmarks.sweep.test_ray import endless\n"
        "executor = RayExecutor(None, 'cpu', per_node=1)\n"
        "assert executor.jobs == 1\n"
        "futures = [executor.submit(partial(endless, sys.argv[1]), spec) for spec in 'ab']\n"
        "try:\n"
        "    futures[0].result()\n"
        "except KeyboardInterrupt:\n"
        "    executor.close(now=True)\n"
        "    print(*(type(future.exception(0)).__name__ for future in futures))\n"
    )
    # Ray keeps a token of the cluster in the home folder.
    environment = os.environ | {"PYTHONPATH": str(registry.ROOT), "HOME": str(tmp_path)}
    out = tmp_path / "out"
    out.mkdir()
    parent = subprocess.Popen(
        [sys.executable, str(script), str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        start_new_session=True,
    )
    (begun,) = until(lambda: list(out.iterdir()), seconds=60)
    os.killpg(parent.pid, signal.SIGINT)
    # Ray itself prints nothing.
    assert parent.communicate(timeout=60)[0].splitlines() == ["CancelledError CancelledError"]
    until(lambda: not alive(begun.name.split(".")[1]))
    until(lambda: not sessions(parent.pid))


def test_without_ray_the_module_imports_and_the_executor_names_the_extra_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "benchmarks.sweep.ray")
    module = importlib.import_module("benchmarks.sweep.ray")
    with pytest.raises(UserError, match=re.escape('pip install -e ".[ray]"')):
        module.RayExecutor(None, "cpu")


@pytest.mark.parametrize(
    ("nodes", "gpu", "per_node", "threads"),
    [
        ([(2, 0)], False, None, 1),
        ([(2, 0)], False, 1, 2),
        ([(2, 0)], False, 5, 1),
        ([(8, 0), (16, 0)], False, 4, 4),
        ([(16, 4), (64, 8)], True, None, 4),
        ([(2, 4)], True, None, 1),
        ([(16, 4), (64, 0)], True, 2, 8),
    ],
)
def test_runs_on_one_node_share_its_cores(nodes, gpu, per_node, threads):
    assert threads_per_run(nodes, gpu, per_node) == threads


@pytest.mark.parametrize(("gpu", "named"), [(True, "a GPU"), (False, "CPU cores")])
def test_nodes_without_the_resources_of_a_run_are_rejected(gpu, named):
    with pytest.raises(UserError, match=f"no node of the Ray cluster has {named}"):
        threads_per_run([(0, 2), (4 if gpu else 0, 0)], gpu, None)


def alive(pid):
    """Return whether a process is running; a zombie is not."""
    return any(process == str(pid) for process, _ in processes())


def sessions(leader):
    """Return the running processes of the session with a given leader."""
    return [process for process, session in processes() if session == str(leader)]


def processes():
    """Yield (process id, session id) of all running processes."""
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            state, _, _, session = file.read_text().rpartition(")")[2].split()[:4]
            if state != "Z":
                yield file.parent.name, session
