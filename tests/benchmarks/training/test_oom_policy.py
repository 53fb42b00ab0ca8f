"""Tests of out-of-memory errors: a batch that does not fit is halved, down to one example, before OOM."""

import resource
import weakref
from pathlib import Path

import pytest
import torch

from benchmarks.config.spec import from_dict
from benchmarks.evaluation.scoring import Scorer
from benchmarks.results import store
from benchmarks.sweep import worker as work
from benchmarks.training import run as train
from benchmarks.training import setup
from tests import processes
from tests.benchmarks.training.tiny_runs import TINY, row_of

REQUESTED = 3 * 2**29
CUBLAS = "CUDA error: {} when calling `cublasCreate(handle)`"
# What CUDA and its libraries raise if memory outside of torch's allocator runs out.
OUTSIDE_OF_THE_ALLOCATOR = (
    torch.AcceleratorError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
    RuntimeError(CUBLAS.format("CUBLAS_STATUS_ALLOC_FAILED")),
    RuntimeError(CUBLAS.format("CUBLAS_STATUS_NOT_INITIALIZED")),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
)


def run(method, **changes):
    return row_of(from_dict({"method": method, **TINY, **changes}))


@pytest.fixture
def room(monkeypatch):
    """Return a function that limits batch sizes by part, as in `room({"zo": 2})`.

    Larger batches raise the out-of-memory error of a GPU. The function returns the list of all attempts.
    """
    loss, scores, attempts = Scorer.loss, Scorer.candidate_scores, []

    def limit(most):
        def check(batch, part):
            attempts.append((part, len(batch)))
            if len(batch) > most.get(part, 10**9):
                raise torch.OutOfMemoryError(
                    "CUDA out of memory. Tried to allocate 1.50 GiB. GPU 0 has a total capacity of 2.00 GiB"
                )

        def of_loss(self, batch):
            check(batch, "fo" if torch.is_grad_enabled() else "zo")
            return loss(self, batch)

        def of_scores(self, batch):
            check(batch, "eval")
            return scores(self, batch)

        monkeypatch.setattr(Scorer, "loss", of_loss)
        monkeypatch.setattr(Scorer, "candidate_scores", of_scores)
        return attempts

    return limit


@pytest.mark.medium
@pytest.mark.parametrize(
    ("method", "most", "given", "used"),
    [
        ("ip-sgd", {"fo": 3}, {"fo_batch_size": 8}, {"fo_batch_size": 2}),
        ("mezo", {"zo": 1}, {"zo_batch_size": 5}, {"zo_batch_size": 1}),
        (
            "addax",
            {"fo": 1, "zo": 3},
            {"fo_batch_size": 4, "zo_batch_size": 6},
            {"fo_batch_size": 1, "zo_batch_size": 3},
        ),
    ],
)
def test_the_batch_that_does_not_fit_is_halved_and_the_run_restarts(room, method, most, given, used):
    room(most)
    row = run(method, **given)
    assert (row["status"], row["steps"]) == ("done", 4)
    assert row["batch_sizes"] == used | {"eval_batch_size": 8}
    # The config keeps the batch sizes of the spec.
    assert given.items() <= row["config"]["settings"].items()
    sizes = [tuple(t[k] for k in given) for t in row["batch_sizes_tried"]]
    assert sizes[0] == tuple(given.values())
    assert len(set(sizes)) == len(sizes)
    assert {t["bytes_asked"] for t in row["batch_sizes_tried"]} == {REQUESTED}
    assert {t["out_of_memory_in"] for t in row["batch_sizes_tried"]} == set(most)
    # The result equals that of a run that starts with these sizes.
    alone = run(method, **used)
    assert row["test"] == alone["test"]
    assert [p["loss"] for p in row["curve"]] == [p["loss"] for p in alone["curve"]]


def test_a_run_is_oom_if_a_single_example_does_not_fit(room):
    attempts = room({"fo": 0})
    row = run("sgd", fo_batch_size=5)
    assert (row["status"], row["score"], row["test"]) == ("OOM", None, None)
    assert row["reason"] == "out of memory in fo"
    assert [t["fo_batch_size"] for t in row["batch_sizes_tried"]] == [5, 2, 1]
    assert row["batch_sizes_tried"][-1]["bytes_asked"] == REQUESTED
    assert [n for part, n in attempts if part == "fo"] == [5, 2, 1]


def fail_in_backward(monkeypatch, error):
    """Raise an error in every backward pass, where the first use of cuBLAS in its thread fails."""

    def backward(*_args, **_kwargs):
        raise error

    monkeypatch.setattr(torch.autograd, "_engine_run_backward", backward)


@pytest.mark.parametrize("error", OUTSIDE_OF_THE_ALLOCATOR, ids=lambda error: type(error).__name__)
def test_memory_that_runs_out_outside_of_the_allocator_gives_an_oom_row(monkeypatch, error):
    fail_in_backward(monkeypatch, error)
    row = run("sgd", fo_batch_size=2)
    assert (row["status"], row["reason"], row["score"]) == ("OOM", "out of memory in fo", None)
    assert [t["fo_batch_size"] for t in row["batch_sizes_tried"]] == [2, 1]


@pytest.mark.parametrize("text", ["device-side assert triggered", "an illegal memory access was encountered"])
def test_another_error_of_cuda_fails_the_run_at_once(monkeypatch, text):
    fail_in_backward(monkeypatch, torch.AcceleratorError(f"CUDA error: {text}"))
    with pytest.raises(torch.AcceleratorError, match=text):
        run("sgd", fo_batch_size=2)


def test_an_evaluation_batch_is_halved_in_place_and_no_score_changes(room):
    whole = run("sgd", fo_batch_size=2)
    attempts = room({"eval": 2})
    row = run("sgd", fo_batch_size=2)
    assert row["status"] == "done"
    assert row["batch_sizes"] == {"fo_batch_size": 2, "eval_batch_size": 2}
    assert [t["eval_batch_size"] for t in row["batch_sizes_tried"]] == [8, 4]
    assert row["test"]["score"] == whole["test"]["score"]
    assert row["test"]["loss"] == pytest.approx(whole["test"]["loss"], abs=1e-6)
    # No step was repeated.
    assert [n for part, n in attempts if part == "fo"] == [2] * 5


def test_a_full_loss_is_evaluated_in_smaller_chunks(room):
    room({"zo": 4})
    row = run("mezo-svrg", zo_batch_size=3)
    assert (row["status"], row["batch_sizes"]["eval_batch_size"]) == ("done", 4)
    assert [t["out_of_memory_in"] for t in row["batch_sizes_tried"]] == ["full"]


def test_a_model_that_does_not_fit_is_oom_without_another_attempt(monkeypatch):
    def load(*args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.50 GiB.")

    monkeypatch.setattr(setup.models, "load", load)
    row = run("mezo")
    assert (row["status"], row["reason"]) == ("OOM", "out of memory in load")
    assert (row["score"], row["parameters"], row["d0_rows"]) == (None, None, None)
    assert len(row["batch_sizes_tried"]) == 1


def test_a_card_that_is_full_before_the_model_is_loaded_is_oom(monkeypatch):
    def full(devices, dtype):
        assert (devices, dtype) == ([torch.device("cpu")], torch.float32)
        raise OUTSIDE_OF_THE_ALLOCATOR[0]

    monkeypatch.setattr(train, "warm_up", full)
    monkeypatch.setattr(setup.models, "load", lambda *_, **__: pytest.fail("loaded before the warm-up"))
    row = run("mezo")
    assert (row["status"], row["reason"]) == ("OOM", "out of memory in load")


def test_a_run_with_an_oom_row_is_not_repeated(room, tmp_path, monkeypatch):
    monkeypatch.setattr(store, "RUNS", tmp_path)
    room({"fo": 0})
    spec = from_dict({"method": "sgd", **TINY})
    options = {"suite": "s", "folder": None, "jobs": 1, "wandb": "disabled", "sweep_started_at": "9000-01-01"}
    assert work.run_spec(spec, **options).status == "OOM"
    assert work.run_spec(spec, **options).status == "elsewhere"


def test_a_failed_attempt_is_freed_before_the_next_one_loads(monkeypatch):
    loss, load, models = Scorer.loss, setup.models.load, []

    def of_loss(self, batch):
        if len(batch) > 2 and torch.is_grad_enabled():
            kept = loss(self, batch)
            raise torch.OutOfMemoryError(f"out of memory, with {kept.shape} in this frame")
        return loss(self, batch)

    def loading(*args, **kwargs):
        assert all(model() is None for model in models)
        loaded = load(*args, **kwargs)
        models.append(weakref.ref(loaded.model))
        return loaded

    monkeypatch.setattr(Scorer, "loss", of_loss)
    monkeypatch.setattr(setup.models, "load", loading)
    assert run("addax", fo_batch_size=8)["batch_sizes"]["fo_batch_size"] == 2
    assert len(models) == 3


def run_with_limited_memory(runs, spec, room):
    """Run a spec with an address space that can grow by only `room` bytes; call it in a new process."""
    torch.set_num_threads(1)
    store.RUNS = Path(runs)
    splits = train.load(spec, None)
    # Import everything and allocate all buffers before setting the limit.
    train.run(from_dict({**TINY, "method": "sgd", "steps": 1, "task": spec.task}), splits, suite="s")
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + room
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    store.write("s", train.run(spec, splits, suite="s"))


@pytest.mark.process
@pytest.mark.slow
def test_a_cpu_that_runs_out_of_memory_halves_the_batch_too(tmp_path):
    """A real allocation fails, so the message is torch's own."""
    changes = {"fo_batch_size": 512, "train_rows": 512, "steps": 1, "evaluations": 1, "task": "boolq"}
    spec = from_dict({"method": "sgd", **TINY, **changes})
    process = processes.context().Process(
        target=run_with_limited_memory, args=(str(tmp_path), spec, 400 * 2**20)
    )
    process.start()
    process.join(200)
    row = store.read_row(tmp_path / "s" / f"{spec.id}.json")
    assert row["status"] == "done"
    assert row["batch_sizes_tried"][0]["fo_batch_size"] == 512
    assert all(t["bytes_asked"] > 2**20 for t in row["batch_sizes_tried"])
    assert 1 <= row["batch_sizes"]["fo_batch_size"] <= 256
