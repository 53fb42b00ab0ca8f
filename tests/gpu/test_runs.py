"""Tests of whole runs on a GPU: out of memory, and resuming from a checkpoint."""

import pytest
import torch

from benchmarks.registry import files
from benchmarks.training import run as train
from tests.benchmarks.training.resumable_runs import (
    checkpoints_of,
    numbers,
    save_model_with_dropout,
    spec_of,
    stop_after,
)
from tests.benchmarks.training.tiny_runs import row_of, tiny
from tests.gpu.conftest import NEEDS_CUDA

MB = 1 << 20
# (examples per batch, bytes that are free for the run).
SIZES = {"cpu": (16, 8 * MB), "cuda": (128, 60 * MB)}
SHORT = {"task": "boolq", "steps": 1, "evaluations": 1, "validation_rows": 4, "test_rows": 4}
# Depends on what else is in memory.
MEASURED = ("peak_bytes", "peak_reserved_bytes", "peak_driver_bytes")
METHODS = sorted(files("method"))


@pytest.mark.medium
def test_a_run_that_does_not_fit_is_halved_or_oom_and_the_next_one_works(gpu):
    size, free = SIZES[gpu.place.type]
    given = SHORT | {"device": str(gpu.place), "train_rows": size, "eval_batch_size": 4}
    # The first run loads kernels and libraries, which take memory that is not freed.
    assert row_of(tiny("ip-sgd", **given, fo_batch_size=1))["status"] == "done"
    spec = tiny("ip-sgd", **given, fo_batch_size=size)
    row = gpu.with_memory(free, lambda: row_of(spec))
    assert row["status"] == "done"
    assert 1 <= row["batch_sizes"]["fo_batch_size"] < size
    assert {attempt["out_of_memory_in"] for attempt in row["batch_sizes_tried"]} == {"fo"}
    row = gpu.with_memory(0, lambda: row_of(spec))
    assert (row["status"], row["score"]) == ("OOM", None)
    assert row["reason"].startswith("out of memory in ")
    row = row_of(spec)
    assert (row["status"], row["batch_sizes_tried"]) == ("done", [])


@pytest.fixture
def deterministic():
    """Let torch choose deterministic kernels; the fast backward passes of attention are not."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(before)


@pytest.mark.medium
@pytest.mark.parametrize(
    ("gpu", "method"),
    [("simulated", "addax"), *(pytest.param("cuda", name, marks=NEEDS_CUDA) for name in METHODS)],
    indirect=["gpu"],
)
@pytest.mark.filterwarnings("ignore:.*deterministic.*")
def test_a_resumed_run_is_bit_identical(gpu, deterministic, tmp_path, monkeypatch, method):
    model = save_model_with_dropout(tmp_path / "dropping")
    spec = spec_of(
        method, model, device=str(gpu.place), steps=6, evaluations=2, validation_rows=4, test_rows=4
    )
    splits = train.load(spec, None)
    whole = train.run(spec, splits, suite="s")
    stop_after(monkeypatch, spec, splits, tmp_path / "runs", step=3)
    checkpoints = checkpoints_of(spec, splits)
    assert checkpoints.open() == 3
    resumed = train.run(spec, splits, suite="s", checkpoints=checkpoints)
    assert resumed["resumed_at_steps"] == [3]
    ours, theirs = ({k: v for k, v in numbers(row).items() if k not in MEASURED} for row in (resumed, whole))
    assert ours == theirs
