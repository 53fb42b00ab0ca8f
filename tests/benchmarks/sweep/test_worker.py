"""Tests of the worker: one run under its lock, with existing rows, and with errors."""

import multiprocessing
import time

import pytest

from benchmarks.errors import UserError
from benchmarks.results import store
from benchmarks.sweep import worker
from benchmarks.sweep.worker import Outcome, run_spec
from benchmarks.training import run as train
from tests.benchmarks.sweep.inline import SPECS, swept

ONE = {"suite": "s", "folder": None, "jobs": 1, "wandb": "disabled"}


@pytest.fixture
def trained(monkeypatch):
    """Return a list that records the ids of the specs that are run, in order."""
    ids, real = [], train.run
    monkeypatch.setattr(train, "run", lambda spec, *a, **k: ids.append(spec.id) or real(spec, *a, **k))
    return ids


def test_a_manual_run_ignores_existing_rows(runs, trained):
    for _ in range(2):
        assert run_spec(SPECS[0], **ONE) == Outcome("done")
    assert len(trained) == 2


def test_a_manual_run_raises_user_errors(runs):
    with pytest.raises(UserError, match="no training example is longer than"):
        run_spec(SPECS[1], **ONE)
    assert store.read_suite("s") == []


def test_a_run_that_a_concurrent_sweep_finished_is_not_repeated(runs, trained):
    run_spec(SPECS[0], **ONE)
    assert run_spec(SPECS[0], **ONE, sweep_started_at="9000-01-01") == Outcome("elsewhere")
    assert len(trained) == 1


def test_a_run_that_failed_is_repeated_unless_it_failed_in_a_concurrent_sweep(runs, trained):
    assert run_spec(SPECS[1], **ONE, sweep_started_at="2000-01-01").status == "failed"
    assert run_spec(SPECS[1], **ONE, sweep_started_at="2000-01-01").status == "failed"
    assert len(trained) == 1
    assert run_spec(SPECS[1], **ONE, sweep_started_at="9000-01-01").status == "failed"
    assert len(trained) == 2


def test_an_unexpected_error_becomes_a_row_with_its_traceback(runs, monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("out of luck")

    monkeypatch.setattr(train, "run", broken)
    outcome = run_spec(SPECS[0], **ONE)
    (row,) = store.read_suite("s")
    assert (row["status"], row["reason"]) == (outcome.status, outcome.reason)
    assert outcome.status == "failed"
    assert outcome.reason.startswith("RuntimeError: out of luck\nTraceback")
    assert "in broken" in outcome.reason


@pytest.mark.medium
@pytest.mark.parametrize(
    "text", ["", '{"id": "ha', "[]", "changed"], ids=["empty", "cut", "not an object", "changed"]
)
def test_a_damaged_row_is_reported_renamed_and_run_again(runs, capsys, text):
    swept(SPECS[:1])
    path = runs / f"{SPECS[0].id}.json"
    original = path.read_text()
    damaged = original.replace('"steps": 1', '"steps": 2', 1) if text == "changed" else text
    path.write_text(damaged)
    assert swept(SPECS[:1])[0] == 0
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert f"{path}: " in message
    assert f"renamed to {path.name}.damaged-1" in message
    assert (runs / f"{path.name}.damaged-1").read_text() == damaged
    assert store.read_row(path)["status"] == "done"
    assert "0 runs to do, 1 already finished" in swept(SPECS[:1])[1]


@pytest.mark.process
def test_a_lock_is_released_when_its_process_dies(runs):
    context = multiprocessing.get_context("fork")
    ready = context.Event()

    def hold_lock():
        lock = store.lock("s", SPECS[0].id)
        lock.acquire(timeout=0)
        ready.set()
        time.sleep(60)

    other = context.Process(target=hold_lock)
    other.start()
    assert ready.wait(30)
    assert run_spec(SPECS[0], **ONE, sweep_started_at="2000-01-01").status == "busy"
    other.kill()
    other.join()
    assert run_spec(SPECS[0], **ONE, sweep_started_at="2000-01-01").status == "done"


def test_a_run_reports_progress_and_removes_its_progress_file_at_the_end(runs):
    seen = []

    def progress(budget_fraction, text):
        (file,) = (runs / "progress").glob("*.json")
        seen.append((budget_fraction, text.split()[0], file.stem))

    run_spec(SPECS[0], **ONE, progress=progress)
    assert [entry[:2] for entry in seen] == [(0.0, "accuracy"), (1.0, "loss"), (1.0, "accuracy")]
    assert {entry[2] for entry in seen} == {SPECS[0].id}
    assert list((runs / "progress").iterdir()) == []


def test_a_failed_run_leaves_no_progress_file(runs, monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("out of luck")

    monkeypatch.setattr(worker.train, "run", broken)
    run_spec(SPECS[0], **ONE)
    assert list((runs / "progress").iterdir()) == []


def test_wandb_follows_the_steps_of_a_run_and_gets_its_row(runs, monkeypatch):
    logged, finished = [], []

    class Tracker:
        def begin(self, spec, suite, checkpoints):
            assert checkpoints.parent == store.checkpoints("s")
            return self

        def log(self, step, **values):
            logged.append((step, sorted(values)))

        def finish(self, row):
            assert store.read_suite("s") == [row | {"checksum": store.read_suite("s")[0]["checksum"]}]
            finished.append(row["status"])

    monkeypatch.setattr(worker, "_tracker", lambda mode: Tracker())
    run_spec(SPECS[0], **ONE)
    assert [step for step, _ in logged] == [0, 1, 1]
    assert "loss" in logged[1][1]
    assert finished == ["done"]
