"""Tests of checkpoints: they are always complete, set aside if damaged, and never make a run fail."""

import math
import os
from pathlib import Path

import pytest
import torch
from torch.utils._pytree import tree_leaves

from benchmarks.results import store
from benchmarks.training import checkpoint
from benchmarks.training import run as train
from tests.benchmarks.training.resumable_runs import (
    STEPS,
    Stopped,
    checkpoints_of,
    save_model_with_dropout,
    spec_of,
    stop_after,
)


@pytest.fixture(scope="module")
def dropping(tmp_path_factory):
    return save_model_with_dropout(tmp_path_factory.mktemp("model") / "dropping")


def test_a_checkpoint_of_other_sources_is_ignored_with_one_message_and_not_removed(
    tmp_path, monkeypatch, dropping
):
    spec = spec_of("sgd", dropping)
    splits = train.load(spec, None)
    old = stop_after(monkeypatch, spec, splits, tmp_path, 2)
    monkeypatch.setattr(train, "source_fingerprint", lambda spec: "0" * 16)
    messages = []
    new = checkpoints_of(spec, splits, messages.append)
    assert new.open() == 0
    (line,) = messages
    assert str(old.folder) in line
    assert "starting from scratch" in line
    assert (old.folder / checkpoint.STATE).exists()
    assert train.run(spec, splits, suite="s", checkpoints=new)["resumed_at_steps"] == []
    new.drop()
    assert (old.folder / checkpoint.STATE).exists()


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "one bit", "no best", "a key less"])
def test_a_damaged_checkpoint_is_set_aside_with_one_message(tmp_path, monkeypatch, dropping, damage):
    spec = spec_of("sgd", dropping)
    splits = train.load(spec, None)
    old = stop_after(monkeypatch, spec, splits, tmp_path, 10)
    last = old.folder / checkpoint.STATE
    if damage == "no best":
        next(old.folder.glob("best-*")).unlink()
    elif damage == "a key less":
        state = torch.load(last)
        del state["counters"]["step_seconds"]
        torch.save(state, last)
    elif damage == "one bit":
        content = bytearray(last.read_bytes())
        content[len(content) // 2] ^= 1
        last.write_bytes(content)
    else:
        content = {"cut": last.read_bytes()[:-500], "empty": b"", "text": b"no checkpoint"}[damage]
        last.write_bytes(content)
    messages = []
    new = checkpoints_of(spec, splits, messages.append)
    assert new.open() == 0
    (line,) = messages
    assert "\n" not in line
    assert f"set aside as {old.folder.name}.damaged-1" in line
    assert (tmp_path / "s" / "checkpoints" / f"{old.folder.name}.damaged-1").is_dir()


def test_a_checkpoint_that_does_not_fit_the_model_is_set_aside(tmp_path, monkeypatch, dropping):
    spec = spec_of("adam", dropping)
    splits = train.load(spec, None)
    old = stop_after(monkeypatch, spec, splits, tmp_path, 5)
    state = torch.load(old.folder / checkpoint.STATE)
    state["optimizer"]["param_groups"].append({"params": []})
    torch.save(state, old.folder / checkpoint.STATE)
    messages = []
    new = checkpoints_of(spec, splits, messages.append)
    assert new.open() == 5
    row = train.run(spec, splits, suite="s", checkpoints=new)
    assert (row["status"], row["steps"], row["resumed_at_steps"]) == ("done", STEPS, [])
    (line,) = messages
    assert "cannot resume from checkpoint" in line
    assert (old.folder.parent / f"{old.folder.name}.damaged-1").is_dir()


def test_a_folder_of_other_sources_without_a_checkpoint_is_not_mentioned(tmp_path, monkeypatch, dropping):
    """A run that is stopped before its first checkpoint leaves the name of its wandb run there."""
    monkeypatch.setattr(store, "RUNS", tmp_path)
    spec = spec_of("sgd", dropping)
    checkpoints = checkpoints_of(spec, train.load(spec, None))
    (checkpoints.folder.parent / f"{spec.id}-0").mkdir(parents=True)
    assert checkpoints.open() == 0


@pytest.mark.parametrize("failing", ["fsync", "save"])
def test_a_full_disk_prevents_the_checkpoint_but_not_the_run(tmp_path, monkeypatch, dropping, failing):
    monkeypatch.setattr(store, "RUNS", tmp_path)

    def full(*_):
        if failing == "fsync":
            raise OSError(28, "No space left on device")
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 704 vs 598")

    monkeypatch.setattr(*((os, "fsync") if failing == "fsync" else (torch, "save")), full)
    spec, messages = spec_of("sgd", dropping), []
    splits = train.load(spec, None)
    row = train.run(spec, splits, suite="s", checkpoints=checkpoints_of(spec, splits, messages.append))
    assert row["status"] == "done"
    (line,) = messages
    assert ("No space left on device" if failing == "fsync" else "is the disk full?") in line
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.slow_except("replace")
@pytest.mark.parametrize(
    ("target", "name"),
    [(os, "fsync"), (os, "replace"), (torch, "save"), (Path, "unlink")],
    ids=["fsync", "replace", "save", "unlink"],
)
def test_a_kill_at_any_file_operation_leaves_a_complete_checkpoint(
    tmp_path, monkeypatch, dropping, target, name
):
    """Either the previous checkpoint or the new one is complete."""
    spec = spec_of("sgd", dropping, evaluations=STEPS)
    splits = train.load(spec, None)
    monkeypatch.setattr(store, "RUNS", tmp_path)
    for call in (5, 6, 7):
        checkpoints = checkpoints_of(spec, splits)
        checkpoints.drop()
        calls, real = [], getattr(target, name)

        def dies(*args, calls=calls, real=real, call=call, **kwargs):
            calls.append(1)
            if len(calls) >= call:
                raise Stopped
            return real(*args, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(target, name, dies)
            with pytest.raises(Stopped):
                train.run(spec, splits, suite="s", checkpoints=checkpoints)
        assert checkpoints_of(spec, splits).open() > 0


def test_what_a_killed_process_had_not_finished_writing_is_removed(tmp_path, monkeypatch, dropping):
    spec = spec_of("sgd", dropping)
    splits = train.load(spec, None)
    old = stop_after(monkeypatch, spec, splits, tmp_path, 3)
    for name in (checkpoint.STATE, checkpoint.BEST.format(7)):
        (old.folder / f".{name}.part").write_bytes(b"half of it")
    assert checkpoints_of(spec, splits).open() == 3
    assert not list(old.folder.glob(".*"))


def tensor_bytes(tree):
    return sum(t.nbytes for t in tree_leaves(tree) if isinstance(t, torch.Tensor))


def test_a_replace_needs_no_more_disk_than_one_more_checkpoint(tmp_path, monkeypatch, dropping):
    """New best weights are on the disk once, although they are also the last weights."""
    monkeypatch.setattr(store, "RUNS", tmp_path)
    spec = spec_of("adam", dropping, steps=6, evaluations=3, lr=1e-4)
    splits = train.load(spec, None)
    checkpoints, used, saved = checkpoints_of(spec, splits), [], []
    replace, save = os.replace, checkpoints.save

    def replace_measured(part, target):
        used.append(sum(file.stat().st_size for file in checkpoints.folder.iterdir()))
        replace(part, target)

    def save_measured(state, best, step):
        saved.append([tensor_bytes(part) for part in (state["weights"], state["optimizer"], best)])
        save(state, best, step)

    monkeypatch.setattr(os, "replace", replace_measured)
    monkeypatch.setattr(checkpoints, "save", save_measured)
    train.run(spec, splits, suite="s", checkpoints=checkpoints)
    (w, s, best), without = max(saved), [step for step in saved if step[0] == 0]
    assert w == best
    assert w < s
    # At least two evaluations improved the weights, so that new best weights replaced old ones.
    assert len(without) >= 2
    # Headers and counters take little.
    assert 3 * w + s < max(used) < 3 * w + 2 * s + w / 4


def test_every_evaluation_saves_a_checkpoint(tmp_path, monkeypatch, dropping):
    monkeypatch.setattr(store, "RUNS", tmp_path)
    spec = spec_of("sgd", dropping, evaluations=3)
    splits = train.load(spec, None)
    checkpoints, saved = train.checkpoints_of(spec, splits, "s", pytest.fail), []
    monkeypatch.setattr(checkpoints.pace, "share", math.inf)
    save = checkpoints.save

    def watched(state, *args):
        saved.append(len(state["counters"]["step_seconds"]))
        save(state, *args)

    monkeypatch.setattr(checkpoints, "save", watched)
    row = train.run(spec, splits, suite="s", checkpoints=checkpoints)
    assert saved == [4, 8, 12]
    assert 0 < row["checkpoint_seconds"] < row["wall_seconds"]
