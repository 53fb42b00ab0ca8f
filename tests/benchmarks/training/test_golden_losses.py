"""Tests that a change unrelated to computation changes no loss of any method.

Each method trains nano-opt for a few steps in float64. The test compares every loss that the method
evaluates, every projected_grad, and the final validation loss with committed numbers. The relative tolerance
of 1e-9 allows for the last bits, which differ between CPUs. After an intended change of the numbers, rewrite
the file with

    python -m tests.benchmarks.training.test_golden_losses
"""

import json
from contextlib import ExitStack
from pathlib import Path
from unittest import mock

import pytest
import torch

from benchmarks import registry
from benchmarks.config.methods import method_class
from benchmarks.config.spec import from_dict
from benchmarks.data.splits import load_splits
from benchmarks.evaluation.scoring import Scorer
from benchmarks.training import run as training_run

FILE = Path(__file__).parent / "golden_losses.json"
SPLITS = {"train": 12, "validation": 6, "test": 4, "seed": 0}
RUN = {
    "model": "nano-opt", "task": "sst2", "data": "builtin", "dtype": "float64", "dropout": False, "steps": 6,
    "evaluations": 2, "eval_batch_size": 6, "train_rows": 12, "validation_rows": 6, "test_rows": 4,
}  # fmt: skip
LEARNING_RATES = {"addax": 1e-3, "mezo": 1e-4, "mezo-svrg": 1e-4, "ip-sgd": 1e-2, "sgd": 1e-2, "adam": 1e-4}
BATCH_SIZES = {"zo_loss": ("zo_batch_size", 3), "fo_loss": ("fo_batch_size", 2)}

_draw_normal = torch.Tensor.normal_


def normal_from_float64(tensor, mean=0.0, std=1.0, *, generator=None):
    """Draw in float64 and round, because the last bits of float32 draws depend on the instruction set."""
    wide = torch.empty(tensor.shape, dtype=torch.float64)
    return tensor.copy_(_draw_normal(wide, mean, std, generator=generator))


def measure(method):
    """Run a method; return the losses and projected_grad of each step, and the final validation loss."""
    sizes = [BATCH_SIZES[name] for name in closures_of(method) if name in BATCH_SIZES]
    spec = from_dict({"method": method, "lr": LEARNING_RATES[method], **RUN, **dict(sizes)})
    steps, pending = [], []
    evaluate_loss = Scorer.loss

    def recorded_loss(scorer, batch):
        loss = evaluate_loss(scorer, batch)
        pending.append(loss.item())
        return loss

    def log(step, *, loss=None, projected_grad=None, **_):
        if loss is not None:
            steps.append({"losses": pending[:], "projected_grad": projected_grad})
        pending.clear()

    threads = torch.get_num_threads()
    with ExitStack() as stack:
        stack.callback(torch.set_num_threads, threads)
        torch.set_num_threads(1)
        stack.enter_context(mock.patch.object(Scorer, "loss", recorded_loss))
        stack.enter_context(mock.patch.object(torch.Tensor, "normal_", normal_from_float64))
        row = training_run.run(spec, load_splits("sst2", "builtin", **SPLITS), suite="golden", log=log)
    return {"steps": steps, "validation_loss": row["curve"][-1]["loss"]}


def closures_of(method):
    return method_class(method).closures


def numbers(step):
    return [*step["losses"], *([] if step["projected_grad"] is None else [step["projected_grad"]])]


@pytest.mark.parametrize("method", LEARNING_RATES)
def test_losses_equal_the_committed_ones(method):
    golden, measured = json.loads(FILE.read_text())[method], measure(method)
    assert len(measured["steps"]) == RUN["steps"]
    for step, (new, old) in enumerate(zip(measured["steps"], golden["steps"], strict=True)):
        assert numbers(new) == pytest.approx(numbers(old), rel=1e-9), f"step {step}"
    assert measured["validation_loss"] == pytest.approx(golden["validation_loss"], rel=1e-9)


def test_the_golden_file_has_exactly_the_methods_listed_here():
    """A new method needs no entry; add one to pin its losses."""
    assert set(json.loads(FILE.read_text())) == set(LEARNING_RATES) <= set(registry.files("method"))


if __name__ == "__main__":
    text = json.dumps({method: measure(method) for method in LEARNING_RATES}, indent=1)
    FILE.write_text(text + "\n")
