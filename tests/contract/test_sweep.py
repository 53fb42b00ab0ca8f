"""Sweeps: what is skipped, what a failing run costs, what a dead worker says."""

import io
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks import models, registry, store, sweep, train
from benchmarks.errors import UserError
from benchmarks.spec import from_dict

TINY = {
    "model": "nano-opt", "task": "sst2", "train_rows": 8, "validation_rows": 4, "test_rows": 4,
    "steps": 1, "evaluations": 1, "lr": 1e-3,
}  # fmt: skip
SPECS = [
    from_dict({"method": "sgd", **TINY, "fo_batch_size": 2}),
    # Every example is at most 150 tokens long: D0 is empty.
    from_dict({"method": "addax", **TINY, "length_threshold": 150}),
    from_dict({"method": "mezo", **TINY, "zo_batch_size": 2}),
    from_dict({"method": "sgd", **TINY, "fo_batch_size": 2, "seed": 1}),
]


class Inline(Executor):
    """Runs everything at once in this process, and counts how often it was made."""

    made = 0

    def __init__(self, workers, context, initializer, initargs):
        type(self).made += 1
        type(self).arguments = workers, initargs

    def submit(self, work, *args):
        future = Future()
        try:
            future.set_result(work(*args))
        except BaseException as error:
            future.set_exception(error)
        return future


@pytest.fixture
def inline(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "RUNS", tmp_path)
    monkeypatch.setattr(sweep, "ProcessPoolExecutor", Inline)
    Inline.made = 0
    return tmp_path


def swept(specs, jobs=2):
    out = io.StringIO()
    failed = sweep.sweep("s", specs, jobs=jobs, folder=None, console=Console(file=out, width=200))
    return failed, out.getvalue()


def test_finished_runs_are_skipped_and_a_failing_one_costs_only_itself(inline):
    failed, text = swept(SPECS)
    assert failed == 1
    assert "4 runs to do, 0 finished before" in text
    assert "failed: nano-opt sst2 Addax: task sst2: no training example is longer than" in text
    rows = {row["id"]: row for row in store.read_suite("s")}
    assert [rows[s.id]["status"] for s in SPECS] == ["done", "failed", "done", "done"]
    broken = rows[SPECS[1].id]
    assert "length_threshold = 150" in broken["reason"]
    assert (broken["score"], broken["curve"], broken["label"]) == (None, [], "Addax")
    assert all(rows[s.id]["jobs"] == 2 for s in SPECS if s is not SPECS[1])
    # One pool for all runs.
    assert (Inline.made, Inline.arguments[0], Inline.arguments[1][0]) == (1, 2, 2)

    failed, text = swept(SPECS)
    assert failed == 1
    assert "1 runs to do, 3 finished before" in text
    failed, text = swept([SPECS[0], SPECS[2]])
    assert (failed, Inline.made) == (0, 2)
    assert "0 runs to do, 2 finished before" in text


def test_a_plan_follows_specs_data_and_sources(inline, monkeypatch):
    assert swept(SPECS[:1])[0] == 0

    def todo(specs):
        plan = sweep.plan("s", specs, None)
        return len(plan.todo), len(plan.finished)

    assert todo(SPECS[:1]) == (0, 1)
    assert todo([*SPECS[:1], *SPECS[:1]]) == (0, 1)
    assert todo(SPECS) == (3, 1)
    with monkeypatch.context() as patch:
        patch.setattr(store, "source_fingerprint", lambda *names: "0" * 16)
        assert todo(SPECS[:1]) == (1, 0)
    load = train.load
    with monkeypatch.context() as patch:
        patch.setattr(
            train,
            "load",
            lambda spec, folder: load(from_dict({"method": "sgd", **TINY, "data_seed": 5}), None),
        )
        assert todo(SPECS[:1]) == (1, 0)
    assert todo(SPECS[:1]) == (0, 1)


def test_a_local_model_is_swept_by_its_path(inline, tmp_path, monkeypatch):
    """And again once its weights are others."""
    folder = shutil.copytree(models.WEIGHTS / "nano-opt", tmp_path / "my-model")
    monkeypatch.chdir(tmp_path)
    specs = [from_dict({"method": "sgd", **TINY, "model": "./my-model"})]
    assert swept(specs)[0] == 0
    (row,) = store.read_suite("s")
    assert (row["status"], row["config"]["model"]) == ("done", "./my-model")
    store.source_fingerprint.cache_clear()
    assert "0 runs to do, 1 finished before" in swept(specs)[1]
    os.utime(folder / "model.safetensors")
    store.source_fingerprint.cache_clear()
    assert "1 runs to do, 0 finished before" in swept(specs)[1]


def test_an_unexpected_error_is_a_row_with_its_traceback(inline, monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("out of luck")

    monkeypatch.setattr(train, "run", broken)
    failed, text = swept(SPECS[:1])
    assert failed == 1
    (row,) = store.read_suite("s")
    assert row["status"] == "failed"
    assert row["reason"].startswith("RuntimeError: out of luck\nTraceback")
    assert "in broken" in row["reason"]
    assert "RuntimeError: out of luck" in text


def test_a_worker_that_died_is_one_line(inline, monkeypatch):
    class Dying(Inline):
        def submit(self, work, *args):
            future = Future()
            future.set_exception(BrokenProcessPool("killed"))
            return future

    monkeypatch.setattr(sweep, "ProcessPoolExecutor", Dying)
    with pytest.raises(UserError, match=r"a worker process died.*fewer --jobs") as error:
        swept(SPECS[:2])
    assert "\n" not in str(error.value)


def test_data_that_cannot_be_had_is_refused_before_any_run(inline, tmp_path):
    specs = [from_dict({"method": "sgd", **TINY, "data": "folder"})]
    with pytest.raises(UserError, match="--data DIR"):
        swept(specs)
    with pytest.raises(UserError, match="sst2"):
        sweep.sweep("s", specs, jobs=1, folder=str(tmp_path), console=Console(file=io.StringIO()))
    assert Inline.made == 0


def test_more_jobs_than_runs_are_not_started(inline):
    swept(SPECS[:1], jobs=8)
    jobs, (shared, stop) = Inline.arguments
    assert (jobs, shared, stop.is_set()) == (1, 1, False)


@pytest.mark.parametrize(
    ("only", "named"),
    [
        ({"methd": ["sgd"]}, "unknown filter 'methd': did you mean 'method'?"),
        ({"method": ["sgdd"]}, "unknown method in suite quick 'sgdd': did you mean 'sgd'?"),
        ({"method": ["sgd"], "label": ["MeZO"]}, "unknown label in suite quick 'MeZO'"),
        ({"seed": ["7"]}, "unknown seed in suite quick '7'"),
    ],
)
def test_wrong_filters_are_refused(only, named):
    with pytest.raises(UserError) as error:
        sweep.specs_of("quick", {}, only)
    assert named in str(error.value)


def test_changes_hold_for_all_runs():
    specs = sweep.specs_of("quick", {"data": "folder", "device": "cuda"}, {"task": ["cb", "wsc"]})
    assert {(s.data, s.device, s.task) for s in specs} == {
        ("folder", "cuda", "cb"),
        ("folder", "cuda", "wsc"),
    }
    with pytest.raises(UserError, match="unknown suite 'quik': did you mean 'quick'"):
        sweep.specs_of("quik", {}, {})


def test_workers_end_with_their_sweep(tmp_path):
    """A killed sweep leaves no worker behind that would run beside the next one."""
    script = tmp_path / "parent.py"
    script.write_text(
        "import multiprocessing, os, time\n"
        "from concurrent.futures import ProcessPoolExecutor\n"
        "from benchmarks.sweep import _begin_worker\n"
        "if __name__ == '__main__':\n"
        "    context = multiprocessing.get_context('spawn')\n"
        "    given = (1, context.Event())\n"
        "    pool = ProcessPoolExecutor(1, context, initializer=_begin_worker, initargs=given)\n"
        "    print(pool.submit(os.getpid).result(), flush=True)\n"
        "    pool.submit(time.sleep, 600)\n"
        "    time.sleep(600)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(registry.ROOT)}
    parent = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env=environment
    )
    worker = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 60
    while alive(worker) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not alive(worker)


def test_an_interrupt_of_the_sweep_alone_stops_its_workers(tmp_path):
    """As `kill -INT`, or a job scheduler, sends it; in a terminal Ctrl-C reaches the workers as well."""
    script = tmp_path / "parent.py"
    script.write_text(
        "import os, time\n"
        "from rich.console import Console\n"
        "from benchmarks import sweep\n"
        "def work(*_):\n"
        "    print(os.getpid(), flush=True)\n"
        "    time.sleep(600)\n"
        "if __name__ == '__main__':\n"
        "    sweep.plan = lambda *_: sweep.Plan(list('abcdef'), [])\n"
        "    sweep._work = work\n"
        "    sweep.sweep('s', 'abcdef', jobs=2, folder=None, console=Console(quiet=True))\n"
    )
    parent = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"PYTHONPATH": str(registry.ROOT)},
        start_new_session=True,
    )
    workers = [int(parent.stdout.readline()) for _ in range(2)]
    parent.send_signal(signal.SIGINT)
    assert parent.wait(60) != 0
    deadline = time.monotonic() + 60
    while any(alive(worker) for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(alive(worker) for worker in workers)


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie that nobody has waited for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
