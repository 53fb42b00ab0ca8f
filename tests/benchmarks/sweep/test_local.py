"""Tests of local workers: a death costs only one run, and all workers end with their sweep."""

import os
import signal
import subprocess
import sys
import time
from multiprocessing.connection import Listener
from pathlib import Path

import pytest

from benchmarks import registry
from benchmarks.process import ALLOCATOR, VISIBLE
from benchmarks.sweep.executor import Died
from benchmarks.sweep.local import LocalExecutor
from tests.benchmarks.sweep.reporting import report_to

pytestmark = pytest.mark.process


@pytest.fixture
def pool():
    executor = LocalExecutor(2)
    yield executor
    executor.close(now=True)


def test_a_dead_worker_costs_only_its_run(pool):
    """The work is `eval` and the specs are its source texts, since both can be sent to a worker."""
    long = pool.submit(eval, "__import__('time').sleep(3) or __import__('os').getpid()")
    dead = pool.submit(eval, "__import__('os').kill(__import__('os').getpid(), 9)")
    left = pool.submit(eval, "__import__('os')._exit(7)")
    after = pool.submit(eval, "__import__('os').getpid()")
    with pytest.raises(Died, match=r"SIGKILL, as when the system is short of memory") as error:
        dead.result(60)
    assert not error.value.node_lost
    with pytest.raises(Died, match="ended with code 7"):
        left.result(60)
    assert after.result(60) != os.getpid()
    assert long.result(60) != os.getpid()


def test_an_exception_in_a_run_is_raised_by_its_future(pool):
    with pytest.raises(ZeroDivisionError):
        pool.submit(eval, "1 / 0").result(60)
    shared = "__import__('torch').get_num_threads()"
    assert pool.submit(eval, shared).result(60) == max(1, os.cpu_count() // 2)


def test_a_worker_serves_many_runs_and_ends_with_the_executor():
    pool = LocalExecutor(1)
    pids = {pool.submit(eval, "__import__('os').getpid()").result(60) for _ in range(3)}
    assert len(pids) == 1
    pool.close()
    deadline = time.monotonic() + 30
    while alive(*pids) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not alive(*pids)


@pytest.fixture
def listener():
    with Listener() as listener:
        yield listener


def test_each_worker_has_a_gpu_of_its_own_until_gpus_are_short(listener, monkeypatch):
    for name in (*ALLOCATOR, VISIBLE):
        monkeypatch.delenv(name, raising=False)
    pool = LocalExecutor(3, ("GPU-5e1f", "1"))
    try:
        futures = [pool.submit(report_to, listener.address) for _ in range(3)]
        # Every worker waits, so no worker does the work of two.
        connections = [listener.accept() for _ in futures]
        reports = [connection.recv() for connection in connections]
        for connection in connections:
            connection.send("end")
        assert [future.result(60) for future in futures] == [None] * 3
    finally:
        pool.close(now=True)
    environments, threads = zip(*reports, strict=True)
    assert sorted(e.pop(VISIBLE) for e in environments) == ["1", "GPU-5e1f", "GPU-5e1f"]
    assert {e["PYTORCH_ALLOC_CONF"] for e in environments} == {"expandable_segments:True"}
    # Nothing else tells a worker which of them it is.
    assert environments[0] == environments[1] == environments[2]
    assert set(threads) == {max(1, os.cpu_count() // 3)}


def test_a_new_worker_keeps_the_gpu_of_the_dead_one():
    pool = LocalExecutor(1, ("MIG-2", "MIG-7"))
    try:
        card = f"__import__('os').environ['{VISIBLE}']"
        assert pool.submit(eval, card).result(60) == "MIG-2"
        with pytest.raises(Died):
            pool.submit(eval, "__import__('os')._exit(7)").result(60)
        assert pool.submit(eval, card).result(60) == "MIG-2"
    finally:
        pool.close(now=True)


PARENT = """
import os, sys, time
from benchmarks.sweep.local import LocalExecutor
if __name__ == "__main__":
    pool = LocalExecutor(2)
    # Both workers write whole lines to the same pipe.
    text = "(os := __import__('os')).write(1, b'%d%c' % (os.getpid(), 10)) and __import__('time').sleep(600)"
    futures = [pool.submit(eval, text) for _ in range(2)]
    try:
        futures[0].result()
    except KeyboardInterrupt:
        pool.close(now=True)
        sys.exit(130)
"""


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_if_only_their_sweep_is_killed_or_interrupted(tmp_path, sent):
    """`kill -INT` and job schedulers signal only the parent; its workers must not survive it."""
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    parent = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"PYTHONPATH": str(registry.ROOT)},
        start_new_session=True,
    )
    workers = [int(parent.stdout.readline()) for _ in range(2)]
    parent.send_signal(sent)
    assert parent.wait(60) == (130 if sent == signal.SIGINT else -sent)
    deadline = time.monotonic() + 60
    while any(map(alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(alive, workers))


def alive(pid: int) -> bool:
    """Return whether a process is running; a zombie is not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
