"""Sweeps: what is skipped, what a failing or dying run costs, what two of them do in one folder."""

import dataclasses
import io
import os
import shutil
from concurrent.futures import Future

import pytest
from rich.console import Console

from benchmarks import models
from benchmarks.config import fingerprint
from benchmarks.config.spec import from_dict
from benchmarks.errors import UserError
from benchmarks.results import store
from benchmarks.sweep import scheduler as sweep
from benchmarks.sweep import worker as work
from benchmarks.sweep.executor import Died
from benchmarks.training import checkpoint
from benchmarks.training import run as train

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


class Inline:
    """Runs everything at once in this process, and remembers how it was used."""

    made, jobs, closed = 0, 2, None

    def __init__(self, runs):
        type(self).made += 1
        type(self).runs = runs

    def submit(self, work, spec):
        future = Future()
        try:
            future.set_result(work(spec))
        except BaseException as error:
            future.set_exception(error)
        return future

    def close(self, now=False):
        type(self).closed = now


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "RUNS", tmp_path)
    Inline.made, Inline.closed = 0, None
    return tmp_path / "s"


def swept(specs, executor=Inline):
    out = io.StringIO()
    console = Console(file=out, width=200)
    failed = sweep.sweep("s", specs, make_executor=executor, folder=None, console=console)
    return failed, out.getvalue()


def test_finished_runs_are_skipped_and_a_failing_one_costs_only_itself(runs):
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
    assert "reason" in rows[SPECS[1].id]
    # One executor for all runs, let go in peace.
    assert (Inline.made, Inline.runs, Inline.closed) == (1, 4, False)

    failed, text = swept(SPECS)
    assert failed == 1
    assert "1 runs to do, 3 finished before" in text
    failed, text = swept([SPECS[0], SPECS[2]])
    assert (failed, Inline.made) == (0, 2)
    assert "0 runs to do, 2 finished before" in text


def test_a_plan_follows_specs_data_and_sources(runs, monkeypatch):
    assert swept(SPECS[:1])[0] == 0

    def todo(specs):
        plan = sweep.plan("s", specs, None)
        return len(plan.todo), len(plan.finished)

    assert todo(SPECS[:1]) == (0, 1)
    assert todo([*SPECS[:1], *SPECS[:1]]) == (0, 1)
    # Other rows, and so another fingerprint, in one and the same plan.
    few = dataclasses.replace(SPECS[0], shots=3)
    seen = []
    with monkeypatch.context() as patch:
        patch.setattr(store, "finished", lambda suite, spec, fingerprint: seen.append(fingerprint))
        assert todo([SPECS[0], few]) == (2, 0)
    assert seen == [train.load(spec, None).fingerprint for spec in (SPECS[0], few)]
    assert seen[0] != seen[1]
    assert todo(SPECS) == (3, 1)
    with monkeypatch.context() as patch:
        patch.setattr(store, "source_fingerprint", lambda spec: "0" * 16)
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


def test_a_local_model_is_swept_by_its_path(runs, tmp_path, monkeypatch):
    """And again once its weights are others."""
    folder = shutil.copytree(models.WEIGHTS / "nano-opt", tmp_path / "my-model")
    monkeypatch.chdir(tmp_path)
    specs = [from_dict({"method": "sgd", **TINY, "model": "./my-model"})]
    assert swept(specs)[0] == 0
    (row,) = store.read_suite("s")
    assert (row["status"], row["config"]["model"]) == ("done", "./my-model")
    fingerprint._fingerprint.cache_clear()
    assert "0 runs to do, 1 finished before" in swept(specs)[1]
    os.utime(folder / "model.safetensors")
    fingerprint._fingerprint.cache_clear()
    assert "1 runs to do, 0 finished before" in swept(specs)[1]


def test_an_unexpected_error_is_a_row_with_its_traceback(runs, monkeypatch):
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


class Dying(Inline):
    """The process dies instead of running the first spec, as often as it is told; `at` is its checkpoint."""

    times, node_lost, moves = 2, False, False
    seen: list

    def submit(self, work, spec):
        self.seen.append(spec.id)
        if spec.id == SPECS[0].id and self.seen.count(spec.id) <= self.times:
            if self.moves:
                last = store.checkpoints("s") / f"{spec.id}-0" / checkpoint.STATE
                last.parent.mkdir(parents=True, exist_ok=True)
                last.write_bytes(b"0" * len(self.seen))
                last.replace(last.with_name("x"))
                last.with_name("x").rename(last)
            future = Future()
            future.set_exception(Died("its worker process was ended by SIGKILL", node_lost=self.node_lost))
            return future
        return super().submit(work, spec)


def dying(**how):
    return type("Dying", (Dying,), {"seen": [], **how})


def test_a_run_that_dies_once_is_tried_again(runs):
    executor = dying(times=1)
    failed, text = swept(SPECS[::2], executor)
    assert failed == 0
    assert "nano-opt sst2 SGD: its worker process was ended by SIGKILL" in text
    assert executor.seen == [SPECS[0].id, SPECS[2].id, SPECS[0].id]
    assert {row["status"] for row in store.read_suite("s")} == {"done"}


def test_a_run_that_dies_twice_without_progress_is_killed_and_the_sweep_goes_on(runs):
    failed, text = swept(SPECS[::2], dying(times=9))
    assert failed == 1
    rows = {row["id"]: row for row in store.read_suite("s")}
    assert (rows[SPECS[0].id]["status"], rows[SPECS[2].id]["status"]) == ("killed", "done")
    assert "SIGKILL, again and again without progress" in rows[SPECS[0].id]["reason"]
    assert "killed: nano-opt sst2 SGD: " in text
    # What was killed is tried again by the next sweep.
    assert len(sweep.plan("s", SPECS[::2], None).todo) == 1


@pytest.mark.parametrize("how", [{"times": 3, "node_lost": True}, {"times": 5, "moves": True}])
def test_a_lost_machine_or_a_new_checkpoint_is_no_death_without_progress(runs, how):
    failed, _ = swept(SPECS[:1], dying(**how))
    assert failed == 0
    assert [row["status"] for row in store.read_suite("s")] == ["done"]


def test_a_run_that_takes_down_one_machine_after_another_is_killed(runs):
    executor = dying(times=9, node_lost=True)
    assert swept(SPECS[:1], executor)[0] == 1
    assert len(executor.seen) == 4


def test_a_death_does_not_undo_what_another_sweep_has_done_since(runs):
    class Late(dying(times=9)):
        """Another sweep finishes the run, or is at it, while this one learns of the second death."""

        def submit(self, work, spec):
            if len(self.seen) == 1:
                swept([spec])
            return super().submit(work, spec)

    assert swept(SPECS[:1], Late)[0] == 0
    assert [row["status"] for row in store.read_suite("s")] == ["done"]


def test_a_run_that_failed_in_another_sweep_meanwhile_is_not_done_again(runs, monkeypatch):
    """And one that failed before this sweep began is."""
    began = []
    real = train.run
    monkeypatch.setattr(train, "run", lambda spec, *a, **k: began.append(spec.id) or real(spec, *a, **k))
    swept([SPECS[1]])
    assert len(began) == 1
    one = {"suite": "s", "folder": None, "jobs": 1, "wandb": "disabled"}
    assert work.work(SPECS[1], **one, since="2000-01-01").status == "failed"
    assert len(began) == 1
    assert work.work(SPECS[1], **one, since="9000-01-01").status == "failed"
    assert len(began) == 2


@pytest.mark.parametrize(
    "text", ["", '{"id": "ha', "[]", "changed"], ids=["empty", "cut", "no object", "changed"]
)
def test_a_damaged_row_is_named_set_aside_and_run_again(runs, capsys, text):
    swept(SPECS[:1])
    path = runs / f"{SPECS[0].id}.json"
    whole = path.read_text()
    damaged = whole.replace('"steps": 1', '"steps": 2', 1) if text == "changed" else text
    path.write_text(damaged)
    failed, _ = swept(SPECS[:1])
    assert failed == 0
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"{path} " in said
    assert f"set aside as {path.name}.damaged-1" in said
    assert (runs / f"{path.name}.damaged-1").read_text() == damaged
    assert store.read_row(path)["status"] == "done"
    assert "0 runs to do, 1 finished before" in swept(SPECS[:1])[1]


def test_two_sweeps_never_run_one_spec_at_once(runs, monkeypatch):
    """While another process is at a run this one does the others; then it takes the row that was made."""
    held = store.lock("s", SPECS[0].id)
    held.acquire(timeout=0)
    order, real = [], train.run

    def watched(spec, *args, **kwargs):
        order.append(spec.id)
        return real(spec, *args, **kwargs)

    class Other(Inline):
        def submit(self, work, spec):
            if work.keywords.get("patience"):
                # The other sweep finishes just before this one looks again.
                row = {"id": spec.id, "status": "done", "reason": None}
                row["data_fingerprint"] = train.load(spec, None).fingerprint
                row["source_fingerprint"] = fingerprint.source_fingerprint(spec)
                store.write("s", row)
                held.release()
            return super().submit(work, spec)

    monkeypatch.setattr(train, "run", watched)
    failed, _ = swept(SPECS[::2], Other)
    assert failed == 0
    assert order == [SPECS[2].id]
    assert len(store.read_suite("s")) == 2


def test_a_lock_of_a_process_that_died_holds_nobody_up(runs):
    import multiprocessing

    context = multiprocessing.get_context("fork")
    ready = context.Event()

    def hold():
        held = store.lock("s", SPECS[0].id)
        held.acquire(timeout=0)
        ready.set()
        import time

        time.sleep(60)

    other = context.Process(target=hold)
    other.start()
    assert ready.wait(30)
    one = {"suite": "s", "folder": None, "jobs": 1, "wandb": "disabled", "since": "2000-01-01"}
    assert work.work(SPECS[0], **one).status == "busy"
    other.kill()
    other.join()
    assert work.work(SPECS[0], **one).status == "done"


def test_a_folder_that_cannot_be_written_is_one_line_before_any_run(runs, monkeypatch):
    runs.parent.mkdir(exist_ok=True)
    runs.write_text("a file where the folder should be")
    with pytest.raises(UserError, match="cannot write results to") as error:
        swept(SPECS[:1])
    assert "\n" not in str(error.value)
    assert Inline.made == 0


def test_a_disk_that_fills_up_ends_the_sweep_and_keeps_what_is_written(runs, monkeypatch):
    swept(SPECS[:1])
    before = (runs / f"{SPECS[0].id}.json").read_bytes()

    def full(suite, row):
        raise UserError(f"cannot write results to {runs}: No space left on device")

    monkeypatch.setattr(store, "write", full)
    with pytest.raises(UserError, match="No space left on device"):
        swept(SPECS[::2])
    assert Inline.closed is True
    assert (runs / f"{SPECS[0].id}.json").read_bytes() == before
    assert len(list(runs.glob("*.json"))) == 1


def test_data_that_cannot_be_had_is_refused_before_any_run(runs, tmp_path):
    specs = [from_dict({"method": "sgd", **TINY, "data": "folder"})]
    with pytest.raises(UserError, match="--data DIR"):
        swept(specs)
    with pytest.raises(UserError, match="sst2"):
        sweep.sweep(
            "s", specs, make_executor=Inline, folder=str(tmp_path), console=Console(file=io.StringIO())
        )
    assert Inline.made == 0


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
