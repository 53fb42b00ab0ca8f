"""A run that is killed, whenever, goes on from its last checkpoint and ends with the same bits."""

import json
import os
import time
from random import Random

import pytest
import torch

from benchmarks import models, registry
from benchmarks.config.methods import method_class
from benchmarks.config.spec import from_dict
from benchmarks.evaluation.scoring import Scorer
from benchmarks.results import store
from benchmarks.sweep import worker as work
from benchmarks.training import checkpoint
from benchmarks.training import run as train
from tests import processes

METHODS = tuple(registry.files("method"))
MOMENTS = 20
RUN, KILLED = [], []
STEPS = 12
TINY = {
    "task": "boolq", "train_rows": 24, "validation_rows": 8, "test_rows": 12, "steps": STEPS,
    "evaluations": 6, "eval_batch_size": 8, "lr": 1e-3, "dropout": True,
}  # fmt: skip
SIZES = {"zo_batch_size": 3, "fo_batch_size": 2}
# What a clock says, or what only a run that was stopped has.
DIFFERENT = {"started", "ended", "wall_seconds", "step_seconds", "train_seconds", "train_seconds_to_best"}
DIFFERENT |= {"eval_seconds", "checkpoint_seconds", "resumed_at_steps", "checksum", "threads"}


@pytest.fixture(scope="module")
def dropping(tmp_path_factory):
    """nano-opt with dropout, so that a run draws from torch's generators."""
    folder = tmp_path_factory.mktemp("model") / "dropping"
    loaded = models.load("nano-opt", dtype=torch.float32, device="cpu", head="lm")
    loaded.model.config.dropout = 0.2
    loaded.model.save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)
    return str(folder)


def spec_of(method, model, **changes):
    losses = method_class(method).closures
    own = {k: v for k, v in SIZES.items() if f"{k[:2]}_loss" in losses}
    return from_dict({"method": method, "model": model, **TINY, **own, **changes})


def numbers(row):
    curve = [{k: v for k, v in point.items() if k != "train_seconds"} for point in row["curve"]]
    return json.loads(json.dumps({k: v for k, v in row.items() if k not in DIFFERENT} | {"curve": curve}))


def one(spec, runs):
    """In a process of its own: the run with a checkpoint after every step."""
    torch.set_num_threads(1)
    # As in all tests' own process.
    train.predicted = lambda running: {}
    store.RUNS, checkpoint.SHARE = runs, float("inf")
    work.run_spec(spec, suite="s", folder=None, jobs=1, wandb="disabled")


@pytest.fixture(scope="module")
def whole(dropping, tmp_path_factory):
    """The row of an uninterrupted run of each method, made when first asked for."""
    runs = tmp_path_factory.mktemp("whole")

    def row(method):
        spec = spec_of(method, dropping)
        path = runs / "s" / f"{spec.id}.json"
        if not path.exists():
            # As the others in a new process: buffers that earlier tests left are no part of its peak.
            alone = processes.context().Process(target=one, args=(spec, runs))
            alone.start()
            alone.join(120)
        return store.read_row(path)

    return row


def wait_for(condition, process, seconds=60):
    end = time.monotonic() + seconds
    while not condition() and process.is_alive() and time.monotonic() < end:
        time.sleep(0.001)


@pytest.mark.slow_except("0", "1", "2", "3", "4", "5")
@pytest.mark.process
@pytest.mark.parametrize("moment", range(MOMENTS))
def test_a_run_killed_at_a_random_moment_ends_with_the_same_bits(tmp_path, moment, dropping, whole):
    rng = Random(f"moment {moment}")
    method = METHODS[moment % len(METHODS)]
    spec = spec_of(method, dropping)
    folder = tmp_path / "s" / "checkpoints"
    reached = rng.randrange(STEPS - 4)
    seen = set()

    def far_enough():
        seen.add(checkpoint.progress_mark(folder, spec.id))
        return len(seen - {()}) > reached

    first = processes.context().Process(target=one, args=(spec, tmp_path))
    first.start()
    wait_for(far_enough, first)
    time.sleep(rng.random() * 0.03)
    first.kill()
    first.join()
    killed = not (tmp_path / "s" / f"{spec.id}.json").exists()
    second = processes.context().Process(target=one, args=(spec, tmp_path))
    second.start()
    second.join(120)
    RUN.append(moment)
    row = store.read_row(tmp_path / "s" / f"{spec.id}.json")
    assert row["status"] == "done"
    assert bool(row["resumed_at_steps"]) == killed
    assert numbers(row) == numbers(whole(method))
    assert not list(folder.iterdir())
    if killed:
        KILLED.append(moment)


def test_most_of_them_were_killed():
    """Each process of a parallel test run sees its own part of them."""
    assert len(KILLED) >= 0.8 * len(RUN)


class Stopped(Exception):
    """As a kill, but within this process."""


def stopped_at(monkeypatch, spec, splits, runs, step):
    """Runs a spec until a step is done, then stops; returns its checkpoints."""
    monkeypatch.setattr(store, "RUNS", runs)
    monkeypatch.setattr(checkpoint, "SHARE", float("inf"))
    checkpoints = train.checkpoints_of(spec, splits, "s", pytest.fail)

    def log(at, loss=None, **values):
        if at == step + 1 and loss is not None:
            raise Stopped

    with pytest.raises(Stopped):
        train.run(spec, splits, suite="s", checkpoints=checkpoints, log=log)
    return checkpoints


def test_a_budget_of_seconds_counts_those_before_the_stop(tmp_path, monkeypatch, dropping):
    spec = spec_of("sgd", dropping, steps=None, seconds=0.4, evaluations=2)
    splits = train.load(spec, None)
    stopped_at(monkeypatch, spec, splits, tmp_path, 3)
    again = train.checkpoints_of(spec, splits, "s", pytest.fail)
    assert again.open() == 3
    before = sum(again._found["tally"]["step_seconds"])
    row = train.run(spec, splits, suite="s", checkpoints=again)
    assert row["resumed_at_steps"] == [3]
    assert 0.4 <= row["train_seconds"] < 0.4 + 1
    assert row["curve"][-1]["train_seconds"] == row["train_seconds"] > before


def test_a_checkpoint_of_other_sources_is_left_and_mentioned(tmp_path, monkeypatch, dropping):
    spec = spec_of("sgd", dropping)
    splits = train.load(spec, None)
    old = stopped_at(monkeypatch, spec, splits, tmp_path, 2)
    monkeypatch.setattr(train, "source_fingerprint", lambda *_: "0" * 16)
    said = []
    new = train.checkpoints_of(spec, splits, "s", said.append)
    assert new.open() == 0
    (line,) = said
    assert str(old.folder) in line
    assert "starts anew" in line
    assert (old.folder / checkpoint.STATE).exists()
    assert train.run(spec, splits, suite="s", checkpoints=new)["resumed_at_steps"] == []
    new.drop()
    assert (old.folder / checkpoint.STATE).exists()


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "one bit", "no best", "a key less"])
def test_a_damaged_checkpoint_is_set_aside_and_the_run_starts_anew(tmp_path, monkeypatch, dropping, damage):
    spec = spec_of("sgd", dropping)
    splits = train.load(spec, None)
    old = stopped_at(monkeypatch, spec, splits, tmp_path, 10)
    last = old.folder / checkpoint.STATE
    if damage == "no best":
        next(old.folder.glob("best-*")).unlink()
    elif damage == "a key less":
        state = torch.load(last)
        del state["tally"]["step_seconds"]
        torch.save(state, last)
    elif damage == "one bit":
        content = bytearray(last.read_bytes())
        content[len(content) // 2] ^= 1
        last.write_bytes(content)
    else:
        content = {"cut": last.read_bytes()[:-500], "empty": b"", "text": b"no checkpoint"}[damage]
        last.write_bytes(content)
    said = []
    new = train.checkpoints_of(spec, splits, "s", said.append)
    assert new.open() == 0
    (line,) = said
    assert "\n" not in line
    assert f"set aside as {old.folder.name}.damaged-1" in line
    assert (tmp_path / "s" / "checkpoints" / f"{old.folder.name}.damaged-1").is_dir()


def test_a_checkpoint_that_does_not_fit_the_model_is_set_aside(tmp_path, monkeypatch, dropping):
    spec = spec_of("adam", dropping)
    splits = train.load(spec, None)
    old = stopped_at(monkeypatch, spec, splits, tmp_path, 5)
    state = torch.load(old.folder / checkpoint.STATE)
    state["optimizer"]["param_groups"].append({"params": []})
    torch.save(state, old.folder / checkpoint.STATE)
    said = []
    new = train.checkpoints_of(spec, splits, "s", said.append)
    assert new.open() == 5
    row = train.run(spec, splits, suite="s", checkpoints=new)
    assert (row["status"], row["steps"], row["resumed_at_steps"]) == ("done", STEPS, [])
    (line,) = said
    assert "cannot be continued" in line
    assert (old.folder.parent / f"{old.folder.name}.damaged-1").is_dir()


@pytest.mark.parametrize("fits_later", [False, True])
def test_a_halved_batch_stays_halved_after_a_stop(tmp_path, monkeypatch, dropping, fits_later):
    """Also where the whole batch would fit now, as on a card that others have left."""
    spec = spec_of("ip-sgd", dropping, fo_batch_size=8)
    splits = train.load(spec, None)
    loss, drawn, most = Scorer.loss, [], [4]

    def limited(self, batch):
        if torch.is_grad_enabled():
            drawn.append(len(batch))
            if len(batch) > most[0]:
                raise torch.OutOfMemoryError("Tried to allocate 1.00 GiB.")
        return loss(self, batch)

    monkeypatch.setattr(Scorer, "loss", limited)
    stopped_at(monkeypatch, spec, splits, tmp_path, 5)
    assert drawn == [8, *[4] * 6]
    most[0] = 8 if fits_later else 4
    drawn.clear()
    again = train.checkpoints_of(spec, splits, "s", pytest.fail)
    assert again.open() == 5
    row = train.run(spec, splits, suite="s", checkpoints=again)
    # And the heaviest once more.
    assert drawn == [4] * (STEPS - 5 + 1)
    assert row["batch_sizes"]["fo_batch_size"] == 4
    assert [t["fo_batch_size"] for t in row["batch_sizes_tried"]] == [8]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize(
    "how",
    [
        {"schedule": "linear"},
        {"head": "classification"},
        {"trainable": "lora:2"},
        {"schedule": "linear", "steps": None, "forward_equivalents": 240},
    ],
)
def test_what_else_a_step_depends_on_is_kept(tmp_path, monkeypatch, dropping, dtype, how):
    """Loss scale, schedule, a head of its own, tied embeddings, noise."""
    spec = spec_of("addax", dropping, dtype=dtype, **how)
    splits = train.load(spec, None)
    whole = train.run(spec, splits, suite="s")
    stopped_at(monkeypatch, spec, splits, tmp_path, 7)
    again = train.checkpoints_of(spec, splits, "s", pytest.fail)
    assert again.open() == 7
    resumed = train.run(spec, splits, suite="s", checkpoints=again)
    ours, theirs = numbers(resumed), numbers(whole)
    # In one process buffers of the first run are still there for the second.
    assert ours | {"peak_bytes": 0} == theirs | {"peak_bytes": 0}


@pytest.mark.parametrize("failing", ["fsync", "save"])
def test_a_full_disk_costs_the_checkpoint_and_not_the_run(tmp_path, monkeypatch, dropping, failing):
    monkeypatch.setattr(store, "RUNS", tmp_path)
    monkeypatch.setattr(checkpoint, "SHARE", float("inf"))

    def full(*_):
        if failing == "fsync":
            raise OSError(28, "No space left on device")
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 704 vs 598")

    monkeypatch.setattr(*((checkpoint.os, "fsync") if failing == "fsync" else (torch, "save")), full)
    spec, said = spec_of("sgd", dropping), []
    splits = train.load(spec, None)
    row = train.run(spec, splits, suite="s", checkpoints=train.checkpoints_of(spec, splits, "s", said.append))
    assert row["status"] == "done"
    (line,) = said
    assert ("No space left on device" if failing == "fsync" else "is the disk full?") in line
    assert not list(tmp_path.rglob("*.part"))


def test_what_a_kill_leaves_of_a_write_is_no_checkpoint(tmp_path, monkeypatch, dropping):
    """At every file operation of a write: the checkpoint before it is still whole, or the new one is."""
    spec = spec_of("sgd", dropping, evaluations=STEPS)
    splits = train.load(spec, None)
    monkeypatch.setattr(store, "RUNS", tmp_path)
    monkeypatch.setattr(checkpoint, "SHARE", float("inf"))
    operations = [(os, "fsync"), (os, "replace"), (torch, "save"), (type(tmp_path), "unlink")]
    for target, name in operations:
        for call in (5, 6, 7):
            checkpoints = train.checkpoints_of(spec, splits, "s", pytest.fail)
            checkpoints.drop()
            calls, real = [], getattr(target, name)

            def dies(*args, calls=calls, real=real, call=call, **kwargs):
                calls.append(1)
                if len(calls) >= call:
                    raise Stopped
                return real(*args, **kwargs)

            monkeypatch.setattr(target, name, dies)
            with pytest.raises(Stopped):
                train.run(spec, splits, suite="s", checkpoints=checkpoints)
            monkeypatch.setattr(target, name, real)
            assert train.checkpoints_of(spec, splits, "s", pytest.fail).open() > 0
