"""Tests of scoring on a GPU: a prepared loss does not synchronize, and a model may be on two devices."""

import copy
import dataclasses

import pytest
import torch
from accelerate import dispatch_model

from benchmarks import models, tasks
from benchmarks.evaluation.scoring import Scorer
from tests.benchmarks.evaluation.naive_scores import encode, rows_of
from tests.benchmarks.models.test_sharded import parts

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
CASES = [("nano-opt", "sst2"), ("nano-opt", "squad"), ("nano-llama", "sst2"), ("nano-roberta", "rte-cloze")]


def build(name, task_name, device):
    task = tasks.load(task_name)
    loaded = models.load(name, dtype=torch.float32, device=device, head="lm")
    return loaded, task, encode(rows_of(task, 5), task, loaded, "lm")


@pytest.mark.parametrize(("name", "task_name"), CASES)
def test_a_prepared_loss_and_its_gradient_do_not_synchronize(name, task_name):
    loaded, task, examples = build(name, task_name, "cuda")
    scorer = Scorer(loaded, task)
    batches = [scorer.prepare(examples), scorer.prepare([examples[0]] * 3)]
    # The first pass loads kernels and creates handles.
    for batch in batches:
        scorer.loss(batch).backward()
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(2):
            for batch in [*batches, scorer.prepare(examples)]:
                scorer.loss(batch).backward()
    finally:
        torch.cuda.set_sync_debug_mode(before)


@pytest.mark.parametrize(("name", "task_name"), [*CASES, ("nano-opt", "record")])
def test_losses_and_scores_equal_those_on_a_cpu(name, task_name):
    results = []
    for device in ("cpu", "cuda"):
        loaded, task, examples = build(name, task_name, device)
        scorer = Scorer(loaded, task)
        scores = [] if task.generative else scorer.candidate_scores(examples)
        results.append([scorer.loss(examples).detach().cpu(), *(s.detach().cpu() for s in scores)])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_candidates_share_a_cache_whose_layers_are_on_two_devices():
    loaded, task, examples = build("nano-opt", "record", "cpu")
    expected = Scorer(loaded, task).candidate_scores(examples)
    devices = {name: int(part == "last") for name, part in parts(loaded.model, "last").items()}
    split = dataclasses.replace(
        loaded, model=dispatch_model(copy.deepcopy(loaded.model), devices, main_device=0)
    )
    scorer = Scorer(split, task)
    assert scorer._continues_prompts
    for found, scores in zip(scorer.candidate_scores(examples), expected, strict=True):
        torch.testing.assert_close(found.cpu(), scores, rtol=1e-4, atol=1e-4)
