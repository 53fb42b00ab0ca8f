"""Helpers: runs that stop in the middle, for the tests of checkpoints and resuming."""

import json
import math

import pytest
import torch

from benchmarks import models
from benchmarks.config.methods import method_class
from benchmarks.config.spec import from_dict
from benchmarks.results import store
from benchmarks.training import run as train

STEPS = 12
TINY = {
    "task": "boolq", "train_rows": 24, "validation_rows": 8, "test_rows": 12, "steps": STEPS,
    "evaluations": 6, "eval_batch_size": 8, "lr": 1e-3, "dropout": True,
}  # fmt: skip
SIZES = {"zo_batch_size": 3, "fo_batch_size": 2}
# Fields that differ between equal runs: times, and the record of resumes.
DIFFERENT = {"started", "ended", "wall_seconds", "step_seconds", "train_seconds", "train_seconds_to_best"}
DIFFERENT |= {"eval_seconds", "checkpoint_seconds", "resumed_at_steps", "checksum", "threads"}


def save_model_with_dropout(folder):
    """Save nano-opt with dropout, so that a run draws from torch's generators; return the folder."""
    loaded = models.load("nano-opt", dtype=torch.float32, device="cpu", head="lm")
    loaded.model.config.dropout = 0.2
    loaded.model.save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)
    return str(folder)


def spec_of(method, model, **changes):
    closures = method_class(method).closures
    sizes = {k: v for k, v in SIZES.items() if f"{k[:2]}_loss" in closures}
    return from_dict({"method": method, "model": model, **TINY, **sizes, **changes})


def numbers(row):
    """Return the fields that must be equal in a resumed and in an uninterrupted run."""
    curve = [{k: v for k, v in point.items() if k != "train_seconds"} for point in row["curve"]]
    return json.loads(json.dumps({k: v for k, v in row.items() if k not in DIFFERENT} | {"curve": curve}))


def checkpoints_of(spec, splits, say=pytest.fail):
    """Return checkpoints that are saved after every step, however much time this takes."""
    checkpoints = train.checkpoints_of(spec, splits, "s", say, minutes=0)
    checkpoints.pace.share = math.inf
    return checkpoints


class Stopped(Exception):
    """Error that stops a run like a kill, but within this process."""


def stop_after(monkeypatch, spec, splits, runs, step):
    """Run a spec until a step is finished and saved, stop it, and return its checkpoints."""
    monkeypatch.setattr(store, "RUNS", runs)
    checkpoints = checkpoints_of(spec, splits)

    def log(at, loss=None, **values):
        if at == step + 1 and loss is not None:
            raise Stopped

    with pytest.raises(Stopped):
        train.run(spec, splits, suite="s", checkpoints=checkpoints, log=log)
    return checkpoints
