"""Tests that a run that is stopped at any moment resumes and gives bit-identical results."""

import time
from random import Random

import pytest
import torch

from benchmarks import registry
from benchmarks.evaluation.scoring import Scorer
from benchmarks.results import store
from benchmarks.training import checkpoint
from benchmarks.training import run as train
from tests import processes
from tests.benchmarks.training.resumable_runs import (
    STEPS,
    checkpoints_of,
    numbers,
    save_model_with_dropout,
    spec_of,
    stop_after,
)

METHODS = tuple(registry.files("method"))
MOMENTS = 20
RUN, KILLED = [], []


@pytest.fixture(scope="module")
def dropping(tmp_path_factory):
    return save_model_with_dropout(tmp_path_factory.mktemp("model") / "dropping")


def continue_run(spec, runs):
    """Run a spec from its last checkpoint, with a checkpoint after every step; call it in a new process."""
    torch.set_num_threads(1)
    store.RUNS = runs
    splits = train.load(spec, None)
    checkpoints = checkpoints_of(spec, splits, print)
    checkpoints.open()
    store.write("s", train.run(spec, splits, suite="s", checkpoints=checkpoints))
    checkpoints.drop()


@pytest.fixture(scope="module")
def whole(dropping, tmp_path_factory):
    """Return a function from a method to the row of its uninterrupted run, computed on first use."""
    runs = tmp_path_factory.mktemp("whole")

    def row(method):
        spec = spec_of(method, dropping)
        path = runs / "s" / f"{spec.id}.json"
        if not path.exists():
            # Use a new process, as for the other runs, so that buffers of earlier tests do not count.
            alone = processes.context().Process(target=continue_run, args=(spec, runs))
            alone.start()
            alone.join(120)
        return store.read_row(path)

    return row


def wait_for(condition, process, seconds=60):
    end = time.monotonic() + seconds
    while not condition() and process.is_alive() and time.monotonic() < end:
        time.sleep(0.001)


# By default, the test runs one moment per method.
@pytest.mark.slow_except("0", "1", "2", "3", "4", "5")
@pytest.mark.process
@pytest.mark.parametrize("moment", range(MOMENTS))
def test_a_run_killed_at_a_random_moment_gives_bit_identical_results(tmp_path, moment, dropping, whole):
    rng = Random(f"moment {moment}")
    method = METHODS[moment % len(METHODS)]
    spec = spec_of(method, dropping)
    folder = tmp_path / "s" / "checkpoints"
    reached = rng.randrange(STEPS - 4)
    seen = set()

    def far_enough():
        seen.add(checkpoint.progress_mark(folder, spec.id))
        return len(seen - {()}) > reached

    first = processes.context().Process(target=continue_run, args=(spec, tmp_path))
    first.start()
    wait_for(far_enough, first)
    time.sleep(rng.random() * 0.03)
    first.kill()
    first.join()
    killed = not (tmp_path / "s" / f"{spec.id}.json").exists()
    second = processes.context().Process(target=continue_run, args=(spec, tmp_path))
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


@pytest.mark.process
def test_most_of_these_runs_were_killed():
    """In a parallel test session, each process counts only the runs that it started."""
    assert len(KILLED) >= 0.8 * len(RUN)


def test_a_budget_of_seconds_includes_the_time_before_the_stop(tmp_path, monkeypatch, dropping):
    spec = spec_of("sgd", dropping, steps=None, seconds=0.4, evaluations=2)
    splits = train.load(spec, None)
    stop_after(monkeypatch, spec, splits, tmp_path, 3)
    again = checkpoints_of(spec, splits)
    assert again.open() == 3
    before = sum(again._found["counters"]["step_seconds"])
    row = train.run(spec, splits, suite="s", checkpoints=again)
    assert row["resumed_at_steps"] == [3]
    assert 0.4 <= row["train_seconds"] < 0.4 + 1
    assert row["curve"][-1]["train_seconds"] == row["train_seconds"] > before


@pytest.mark.parametrize("stop", [1, 6])
def test_a_resumed_run_logs_all_its_steps_from_the_start(tmp_path, monkeypatch, dropping, stop):
    """So its log is complete, whatever became of the log of the process that was stopped."""
    spec = spec_of("mezo", dropping)
    splits = train.load(spec, None)

    def logged(checkpoints):
        calls = []

        def log(step, step_seconds=None, peak_bytes=None, **values):
            calls.append((step, values))

        train.run(spec, splits, suite="s", checkpoints=checkpoints, log=log)
        return calls

    stop_after(monkeypatch, spec, splits, tmp_path, stop)
    again = checkpoints_of(spec, splits)
    assert again.open() == stop
    assert logged(again) == logged(None)


@pytest.mark.medium
@pytest.mark.parametrize("fits_later", [False, True])
def test_a_halved_batch_stays_halved_after_a_stop(tmp_path, monkeypatch, dropping, fits_later):
    """It stays halved even if the whole batch would fit now, for example because a GPU became free."""
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
    stop_after(monkeypatch, spec, splits, tmp_path, 5)
    assert drawn == [8, *[4] * 6]
    most[0] = 8 if fits_later else 4
    drawn.clear()
    again = checkpoints_of(spec, splits)
    assert again.open() == 5
    row = train.run(spec, splits, suite="s", checkpoints=again)
    # The memory measurement runs one more step.
    assert drawn == [4] * (STEPS - 5 + 1)
    assert row["batch_sizes"]["fo_batch_size"] == 4
    assert [t["fo_batch_size"] for t in row["batch_sizes_tried"]] == [8]


@pytest.mark.medium
@pytest.mark.slow_except("how2-bfloat16", "how3-float16", "how4-bfloat16")
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize(
    "how",
    [
        {"schedule": "linear"},
        {"head": "classification"},
        {"trainable": "lora:2"},
        {"schedule": "linear", "steps": None, "forward_equivalents": 240},
        {"train_on": "short", "long_above": "q0.5"},
    ],
)
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path, monkeypatch, dropping, dtype, how):
    """Loss scale, schedule, a new head, tied embeddings, and noise are part of the state."""
    spec = spec_of("addax", dropping, dtype=dtype, **how)
    splits = train.load(spec, None)
    whole = train.run(spec, splits, suite="s")
    stop_after(monkeypatch, spec, splits, tmp_path, 7)
    again = checkpoints_of(spec, splits)
    assert again.open() == 7
    resumed = train.run(spec, splits, suite="s", checkpoints=again)
    ours, theirs = numbers(resumed), numbers(whole)
    assert (ours["long_above_tokens"] is None) == ("train_on" not in how)
    # In one process, buffers of the first run count in the peak of the second.
    assert ours | {"peak_bytes": 0} == theirs | {"peak_bytes": 0}
