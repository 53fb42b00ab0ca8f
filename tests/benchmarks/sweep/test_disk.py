"""Tests of the disk space of checkpoints and saved models."""

import shutil

import pytest

from benchmarks.sweep import disk
from benchmarks.training import run as train
from benchmarks.training.archive import write as real_write
from benchmarks.training.checkpoint import Checkpoints
from benchmarks.training.pace import Pace
from tests.benchmarks.training.tiny_runs import tiny

# Names, generators, and the counters of a run.
MORE = 200_000


@pytest.mark.medium
@pytest.mark.parametrize(
    ("method", "changes"),
    [
        ("mezo", {}),
        ("adam", {}),
        ("mezo-svrg", {}),
        ("adam", {"trainable": "last:1", "dtype": "float64"}),
        ("addax", {"dtype": "bfloat16"}),
    ],
)
def test_the_prediction_is_the_most_that_a_run_writes(runs, monkeypatch, method, changes):
    """The checkpoint is replaced after every step. The files of the largest moment are compared."""
    spec = tiny(method, **changes)
    splits = train.load(spec, None)
    checkpoints = train.checkpoints_of(spec, splits, "s", pytest.fail)
    seen = []

    def write(target, content):
        real_write(target, content)
        # The old file was in place until this one had been written.
        seen.append(sum(sizes.values()) + target.stat().st_size)
        sizes[target.name] = target.stat().st_size

    sizes = {}
    real_remove = Checkpoints._remove_best_weights_except

    def remove(self, name):
        real_remove(self, name)
        kept = {file.name for file in self.folder.glob("*")}
        for old in set(sizes) - kept:
            del sizes[old]

    monkeypatch.setattr(Checkpoints, "_remove_best_weights_except", remove)
    monkeypatch.setattr("benchmarks.training.archive.write", write)
    monkeypatch.setattr(Pace, "due", lambda self, after_evaluation=False: True)
    train.run(spec, splits, suite="s", checkpoints=checkpoints)
    predicted = disk.checkpoint_bytes(spec)
    assert max(seen) <= predicted + MORE
    # The best weights are not always new when a checkpoint is replaced.
    weights = disk.trained_bytes(spec.model, spec.dtype, spec.head, spec.trainable)
    assert max(seen) >= predicted - weights


def test_a_run_without_training_writes_nothing():
    assert disk.checkpoint_bytes(tiny("zero-shot")) == disk.saved_bytes(tiny("zero-shot")) == 0


@pytest.mark.parametrize(
    ("method", "ratio"), [("mezo", 0), ("addax", 0), ("ip-sgd", 0), ("sgd", 0), ("mezo-svrg", 1), ("adam", 2)]
)
def test_the_state_of_a_method_in_copies_of_its_weights(method, ratio):
    assert disk.state_ratio(tiny(method)) == disk.state_ratio(tiny(method, dtype="bfloat16")) == ratio


@pytest.mark.parametrize(
    ("method", "ratio"),
    [
        ("sgd-momentum", 1),
        # AdamW for embeddings and the head.
        ("muon", 2),
        # Two moments, and the trained weights beside the average that the file holds.
        ("schedule-free", 3),
        # Two moments of a byte each, and tables.
        ("adam8bit", 0.52),
    ],
)
def test_the_state_of_an_optimizer_of_another_package_is_counted(method, ratio):
    for package, owner in (("schedulefree", "schedule-free"), ("bitsandbytes", "adam8bit")):
        if method == owner:
            pytest.importorskip(package)
    assert disk.state_ratio(tiny(method)) == pytest.approx(ratio, abs=0.01)


@pytest.mark.medium
def test_a_large_model_is_measured_from_its_shape_and_adapters_count_alone():
    large = tiny("adam", dtype="bfloat16").replace(model="facebook/opt-13b")
    weights = 25_706_946_560
    assert disk.checkpoint_bytes(large) == pytest.approx(7 * weights, rel=1e-3)
    assert disk.saved_bytes(large) == pytest.approx(weights, rel=1e-3)
    adapters = large.replace(trainable="lora:8")
    # Two matrices of rank 8 at 80 projections of width 5,120, in float32.
    assert disk.saved_bytes(adapters) == 80 * 2 * 8 * 5120 * 4
    # A saved model is complete, whatever part of it was trained.
    last = large.replace(trainable="last:1")
    assert disk.saved_bytes(last) == disk.saved_bytes(large) > 10 * disk.checkpoint_bytes(last) / 7


def test_the_free_space_is_that_of_the_closest_folder_that_exists(tmp_path):
    free, where = disk.free(tmp_path / "not" / "yet")
    assert where == tmp_path
    assert free == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.1)
