"""Tests that a GPU and the CPU agree to 1e-4 on losses, gradients, and evaluations of the nano models."""

import pytest
import torch

from benchmarks import models, tasks
from benchmarks.data.splits import load_splits
from benchmarks.data.tokenize import encode
from benchmarks.evaluation.evaluate import evaluate
from benchmarks.evaluation.scoring import Scorer

# One-token candidates, and candidates that share the cache of their prompt.
CASES = pytest.mark.parametrize(
    ("name", "task"),
    [("nano-opt", "sst2"), ("nano-opt", "record"), ("nano-llama", "record"), ("nano-roberta", "sst2")],
)
CLOSE = 1e-4


@pytest.fixture
def both(gpu):
    """Return a function from a model and a task to their scorers on the CPU and on the GPU, and examples."""

    def make(name, task_name):
        task, scorers = tasks.load(task_name), []
        for device in ("cpu", str(gpu.place)):
            loaded = models.load(name, dtype=torch.float32, device=device, head="lm")
            scorers.append(Scorer(loaded, task))
        rows = load_splits(task_name, "builtin", train=12, validation=1, test=1, seed=0).train
        return *scorers, encode(rows, task, loaded, "lm")

    return make


@CASES
def test_losses_and_gradients_agree(both, name, task):
    *scorers, examples = both(name, task)
    losses = [scorer.loss(examples) for scorer in scorers]
    assert losses[1].item() == pytest.approx(losses[0].item(), rel=CLOSE, abs=CLOSE)
    for loss in losses:
        loss.backward()
    on_cpu, on_gpu = ({n: p.grad for n, p in s.model.named_parameters()} for s in scorers)
    largest = max(float(grad.norm()) for grad in on_cpu.values() if grad is not None)
    assert largest > 0
    for name_of, grad in on_cpu.items():
        if grad is None:
            assert on_gpu[name_of] is None
        else:
            assert float((on_gpu[name_of].cpu() - grad).norm()) <= CLOSE * largest, name_of


@CASES
def test_evaluations_agree(both, name, task):
    *scorers, examples = both(name, task)
    on_cpu, on_gpu = (evaluate(scorer, examples, 5) for scorer in scorers)
    assert on_gpu.score == on_cpu.score
    assert on_gpu.loss == pytest.approx(on_cpu.loss, rel=CLOSE, abs=CLOSE)
    with torch.no_grad():
        found = [s.candidate_scores(examples) for s in scorers]
    for ours, theirs in zip(*found, strict=True):
        assert ours.tolist() == pytest.approx(theirs.tolist(), rel=CLOSE, abs=CLOSE)
