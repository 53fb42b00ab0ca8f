"""Tests that a run that is killed and resumed is one run of wandb, with each step once, on a local server."""

import os
import signal
import time

import pytest

from benchmarks.config.spec import from_dict
from benchmarks.sweep.tracking import Tracker
from benchmarks.sweep.wandb_process import is_complete
from tests import processes
from tests.benchmarks.sweep.wandb_logs import environment, read, sync, without_private
from tests.wandb_server import serving

pytest.importorskip("wandb", reason="needs the extra `tracking`")
pytestmark = pytest.mark.process

SPEC = from_dict({"method": "sgd", "model": "nano-opt", "task": "sst2", "steps": 60, "lr": 1e-3})
KILLED, CHECKPOINT, LAST = 30, 20, 40


def loss(step):
    """Return a loss whose digits identify its step in a file."""
    return 1000.25 + step


def log_steps(log, first, last):
    """Log steps as a run does, with an evaluation every tenth step."""
    for step in range(first, last + 1):
        log.log(step, loss=loss(step))
        if step % 10 == 0:
            log.log(step, **{"validation/score": step / 100})


def expected(last):
    """Return the rows that `log_steps` gives, by step."""
    evaluated = {step: {"validation/score": step / 100} for step in range(0, last + 1, 10)}
    return {step: {"loss": loss(step)} | evaluated.get(step, {}) for step in range(last + 1)}


def log_and_wait(mode, folder, env):
    os.environ.update(env)
    log_steps(Tracker(mode, folder).begin(SPEC, "s", folder / "checkpoint"), 0, KILLED)
    signal.pause()


def start(mode, folder):
    """Start a process that logs the first steps; return it and wandb's file when they are on the disk."""
    process = processes.context().Process(target=log_and_wait, args=(mode, folder, dict(os.environ)))
    process.start()
    last_complete_row = str(loss(KILLED - 1)).encode()
    (file,) = until(lambda: [f for f in log_files(folder) if last_complete_row in f.read_bytes()], seconds=30)
    return process, file


def until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def resume(mode, folder):
    """Continue the run from its checkpoint, as a new process does: log it from the start."""
    log = Tracker(mode, folder).begin(SPEC, "s", folder / "checkpoint")
    log_steps(log, 0, CHECKPOINT)
    log_steps(log, CHECKPOINT + 1, LAST)
    log.finish({"status": "done", "score": 0.75})


def history_of(run):
    """Return the rows of a run on the server by step; each step must occur once, in order."""
    rows = {row["_step"]: without_private(row) for row in run.history}
    assert [row["_step"] for row in run.history] == sorted(rows)
    return rows


def log_files(folder):
    return [*folder.glob("wandb/*run-*/*.wandb")]


@pytest.fixture
def server(tmp_path, monkeypatch):
    with serving() as server:
        for name, value in environment(tmp_path, server).items():
            monkeypatch.setenv(name, value)
        yield server


def test_offline_steps_reach_the_disk_within_30_seconds_and_a_resumed_run_is_synced_as_one(tmp_path, server):
    """The run is killed together with all of wandb's processes, as by a job scheduler."""
    first, part = start("offline", tmp_path)
    for pid in [first.pid, *processes.descendants(first.pid)]:
        os.kill(pid, signal.SIGKILL)
    first.join()
    _, history, _, exit_code = read(part)
    # wandb gets a row when the next one begins, because an evaluation may follow.
    assert (history, exit_code) == (expected(KILLED - 1), None)
    resume("offline", tmp_path)
    assert not part.exists()
    sync(tmp_path, server)
    (run,) = server.runs.values()
    assert history_of(run) == expected(LAST)
    assert (run.exit_code, run.summary["score"], run.summary["status"]) == (0, 0.75, "done")


def test_a_run_resumed_online_has_each_step_once_and_ends_as_done(tmp_path, server):
    """Only the training process is killed; wandb's process then uploads what it has, except an open row."""
    first, _ = start("online", tmp_path)
    first.kill()
    first.join()
    with server.changed:
        assert server.changed.wait_for(
            lambda: any(run.exit_code is not None for run in server.runs.values()), 60
        )
    ((run_id, run),) = server.runs.items()
    assert run.exit_code == 1
    assert history_of(run) == expected(KILLED - 1)
    resume("online", tmp_path)
    assert list(server.runs) == [run_id]
    assert history_of(run) == expected(LAST)
    assert (run.exit_code, run.summary["score"], run.summary["status"]) == (0, 0.75, "done")
    assert len(log_files(tmp_path)) == 1


def test_all_steps_of_a_killed_offline_run_are_kept_and_it_may_resume_online(tmp_path, server):
    first, part = start("offline", tmp_path)
    first.kill()
    first.join()
    until(lambda: is_complete(part))
    _, history, _, exit_code = read(part)
    assert (history, exit_code) == (expected(KILLED), 1)
    resume("online", tmp_path)
    (run,) = server.runs.values()
    assert history_of(run) == expected(LAST)
    assert not part.exists()
