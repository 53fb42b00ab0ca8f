"""Tests of the scheduler: the specs that a sweep runs, failed runs, and processes that die."""

import dataclasses
import io
import os
import shutil

import pytest
from rich.console import Console

from benchmarks import models
from benchmarks.config import fingerprint
from benchmarks.config.spec import from_dict
from benchmarks.errors import UserError
from benchmarks.results import store
from benchmarks.sweep import scheduler
from benchmarks.training import run as train
from tests.benchmarks.sweep.inline import SPECS, TINY, Dying, Inline, swept


def counts(specs):
    pending = scheduler.pending("s", specs, None)
    return len(pending.todo), len(pending.finished)


def test_finished_runs_are_skipped_and_a_failing_one_costs_only_itself(runs):
    executor = Inline()
    failed, text = swept(SPECS, executor)
    assert failed == 1
    assert "4 runs to do, 0 already finished" in text
    assert "failed: nano-opt sst2 Addax: task sst2: no training example is longer than" in text
    rows = {row["id"]: row for row in store.read_suite("s")}
    assert [rows[s.id]["status"] for s in SPECS] == ["done", "failed", "done", "done"]
    broken = rows[SPECS[1].id]
    assert "length_threshold = 150" in broken["reason"]
    assert (broken["score"], broken["curve"], broken["label"]) == (None, [], "Addax")
    assert all(rows[s.id]["jobs"] == 2 for s in SPECS if s is not SPECS[1])
    assert (executor.runs, executor.closed) == (4, False)

    failed, text = swept(SPECS)
    assert failed == 1
    assert "1 runs to do, 3 already finished" in text


def test_a_sweep_with_nothing_to_do_starts_no_executor(runs):
    swept(SPECS[:1])
    executor = Inline()
    failed, text = swept(SPECS[:1], executor)
    assert (failed, executor.runs) == (0, None)
    assert text == "s: 0 runs to do, 1 already finished\n"


def test_a_row_of_other_data_or_sources_is_not_finished(runs, monkeypatch):
    assert swept(SPECS[:1])[0] == 0
    assert counts(SPECS[:1]) == (0, 1)
    assert counts([*SPECS[:1], *SPECS[:1]]) == (0, 1)
    assert counts(SPECS) == (3, 1)
    with monkeypatch.context() as patch:
        patch.setattr(store, "source_fingerprint", lambda spec: "0" * 16)
        assert counts(SPECS[:1]) == (1, 0)
        summary = scheduler.pending("s", SPECS, None).summary
        changed = "1 again, because their data, their task, or other code has changed"
        assert summary == f"4 runs to do ({changed}), 0 already finished"
    with monkeypatch.context() as patch:
        patch.setattr(train, "data_fingerprint", lambda spec, folder: "0" * 16)
        assert counts(SPECS[:1]) == (1, 0)


def test_each_spec_is_compared_with_the_fingerprint_of_its_data(runs, monkeypatch):
    few = dataclasses.replace(SPECS[0], shots=3)
    seen = []
    monkeypatch.setattr(store, "finished", lambda suite, spec, fingerprint: seen.append(fingerprint))
    assert counts([SPECS[0], few]) == (2, 0)
    assert seen == [train.load(spec, None).fingerprint for spec in (SPECS[0], few)]
    assert seen[0] != seen[1]


def test_a_local_model_is_swept_again_after_its_weights_change(runs, tmp_path, monkeypatch):
    folder = shutil.copytree(models.WEIGHTS / "nano-opt", tmp_path / "my-model")
    monkeypatch.chdir(tmp_path)
    specs = [from_dict({"method": "sgd", **TINY, "model": "./my-model"})]
    assert swept(specs)[0] == 0
    (row,) = store.read_suite("s")
    assert (row["status"], row["config"]["model"]) == ("done", "./my-model")
    fingerprint._fingerprint.cache_clear()
    assert counts(specs) == (0, 1)
    os.utime(folder / "model.safetensors")
    fingerprint._fingerprint.cache_clear()
    assert counts(specs) == (1, 0)
    fingerprint._fingerprint.cache_clear()


def test_a_run_that_dies_once_is_tried_again(runs):
    executor = Dying(times=1)
    failed, text = swept(SPECS[::2], executor)
    assert failed == 0
    assert "nano-opt sst2 SGD: its worker process was ended by SIGKILL" in text
    assert executor.submitted == [SPECS[0].id, SPECS[2].id, SPECS[0].id]
    assert {row["status"] for row in store.read_suite("s")} == {"done"}


def test_a_run_that_dies_twice_without_progress_is_marked_killed_and_the_sweep_continues(runs):
    failed, text = swept(SPECS[::2], Dying(times=9))
    assert failed == 1
    rows = {row["id"]: row for row in store.read_suite("s")}
    assert (rows[SPECS[0].id]["status"], rows[SPECS[2].id]["status"]) == ("killed", "done")
    assert "SIGKILL, again and again without progress" in rows[SPECS[0].id]["reason"]
    assert "killed: nano-opt sst2 SGD: " in text


def test_the_next_sweep_tries_a_killed_run_again(runs):
    swept(SPECS[:1], Dying(times=9))
    assert counts(SPECS[:1]) == (1, 0)


@pytest.mark.parametrize("how", [{"times": 3, "node_lost": True}, {"times": 5, "writes_checkpoints": True}])
def test_a_lost_machine_or_a_new_checkpoint_excuses_a_death(runs, how):
    failed, _ = swept(SPECS[:1], Dying(**how))
    assert failed == 0
    assert [row["status"] for row in store.read_suite("s")] == ["done"]


def test_a_run_that_kills_one_machine_after_another_is_given_up(runs):
    executor = Dying(times=9, node_lost=True)
    assert swept(SPECS[:1], executor)[0] == 1
    assert len(executor.submitted) == 4


def test_a_death_does_not_overwrite_a_row_that_another_sweep_finished_meanwhile(runs):
    class Late(Dying):
        """An executor that reports its second death after another sweep has finished the run."""

        def submit(self, work, spec):
            if len(self.submitted) == 1:
                swept([spec])
            return super().submit(work, spec)

    assert swept(SPECS[:1], Late(times=9))[0] == 0
    assert [row["status"] for row in store.read_suite("s")] == ["done"]


def test_a_run_of_another_process_is_retried_last_and_its_row_is_reused(runs, monkeypatch):
    lock = store.lock("s", SPECS[0].id)
    lock.acquire(timeout=0)
    order, real = [], train.run

    def watched(spec, *args, **kwargs):
        order.append(spec.id)
        return real(spec, *args, **kwargs)

    class Other(Inline):
        def submit(self, work, spec):
            if work.keywords.get("lock_timeout"):
                # The other sweep finishes just before this one retries.
                row = train.unfinished_row(spec, train.load(spec, None), "s", "")
                store.write("s", row | {"status": "done", "reason": None})
                lock.release()
            return super().submit(work, spec)

    monkeypatch.setattr(train, "run", watched)
    failed, _ = swept(SPECS[::2], Other())
    assert failed == 0
    assert order == [SPECS[2].id]
    assert len(store.read_suite("s")) == 2


def test_a_folder_that_cannot_be_written_is_a_one_line_error_before_any_run(runs):
    runs.parent.mkdir()
    runs.write_text("a file where the folder should be")
    executor = Inline()
    with pytest.raises(UserError, match="cannot write results to") as error:
        swept(SPECS[:1], executor)
    assert "\n" not in str(error.value)
    assert executor.runs is None


def test_a_full_disk_ends_the_sweep_and_keeps_written_rows(runs, monkeypatch):
    swept(SPECS[:1])
    before = (runs / f"{SPECS[0].id}.json").read_bytes()

    def full(suite, row):
        raise UserError(f"cannot write results to {runs}: No space left on device")

    monkeypatch.setattr(store, "write", full)
    executor = Inline()
    with pytest.raises(UserError, match="No space left on device"):
        swept(SPECS[::2], executor)
    assert executor.closed is True
    assert (runs / f"{SPECS[0].id}.json").read_bytes() == before
    assert len(list(runs.glob("*.json"))) == 1


def test_unreadable_data_is_rejected_before_any_run(runs, tmp_path):
    specs = [from_dict({"method": "sgd", **TINY, "data": "folder"})]
    executor = Inline()
    with pytest.raises(UserError, match="--data DIR"):
        swept(specs, executor)
    with pytest.raises(UserError, match="sst2"):
        scheduler.sweep(
            "s", specs, make_executor=executor, folder=str(tmp_path), console=Console(file=io.StringIO())
        )
    assert executor.runs is None
