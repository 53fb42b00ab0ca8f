"""Tests of losses and scores against a naive reference that scores one unpadded row at a time."""

import dataclasses

import pytest
import torch

from benchmarks import registry, tasks
from benchmarks.evaluation.scoring import Scorer
from tests.benchmarks.evaluation.naive_scores import (
    CAUSAL,
    MASKED,
    close,
    encode,
    naive_loss,
    naive_scores,
    nano,
    rows_of,
)

TASKS = tuple(name for name in registry.files("task") if tasks.load(name).generate)
# Tasks with several label words that the causal nano models encode as the same unknown token.
UNKNOWN = ("trec",)
CHOICE = tuple(name for name in TASKS if tasks.load(name).loss == "classification")
PAIRS = [(m, t) for m in CAUSAL for t in TASKS if t not in UNKNOWN]
PAIRS += [(m, t) for m in MASKED for t in CHOICE]
REPRESENTATIVES = [
    f"{model}-{task}-{scoring}"
    for model, task in (
        ("nano-opt", "sst2"), ("nano-llama", "rte"), ("nano-opt", "record"), ("nano-opt", "squad"),
        ("nano-roberta", "sst2"),
    )
    for scoring in ("shared", "per_candidate")
]  # fmt: skip


@pytest.mark.slow_except(*REPRESENTATIVES)
@pytest.mark.parametrize("scoring", ["shared", "per_candidate"])
@pytest.mark.parametrize(("name", "task_name"), PAIRS)
def test_losses_and_scores_equal_the_naive_ones(name, task_name, scoring):
    task = tasks.load(task_name)
    rows = rows_of(task)
    for dtype in (torch.float32, torch.float64):
        loaded = nano(name, dtype)
        examples = encode(rows, task, loaded, "lm")
        assert len({e.length for e in examples}) > 1
        scorer = Scorer(loaded, task, "lm", scoring)
        loss = scorer.loss(examples)
        assert loss.dtype == dtype
        assert loss.requires_grad
        assert loss.item() == pytest.approx(naive_loss(loaded, task, rows), abs=close(name, dtype))
        if task.generative:
            continue
        for row, scores in zip(rows, scorer.candidate_scores(examples), strict=True):
            assert scores.tolist() == pytest.approx(naive_scores(loaded, task, row), abs=close(name, dtype))


@pytest.mark.parametrize("name", CAUSAL)
def test_longer_candidates_of_unequal_length_share_the_prompt(name):
    task = dataclasses.replace(
        tasks.load("sst2"), candidates=lambda row: [" terrible", " great and good .", " not great"]
    )
    rows, loaded = rows_of(task, 9), nano(name)
    examples = encode(rows, task, loaded, "lm")
    assert [len(c) for c in examples[0].candidates] == [1, 4, 2]
    for scoring in ("shared", "per_candidate"):
        scorer = Scorer(loaded, task, "lm", scoring)
        got = scorer.candidate_scores(examples)
        for row, scores in zip(rows, got, strict=True):
            assert scores.tolist() == pytest.approx(
                naive_scores(loaded, task, row), abs=close(name, torch.float64)
            )
        assert scorer.loss(examples).item() == pytest.approx(
            naive_loss(loaded, task, rows), abs=close(name, torch.float64)
        )


def test_losses_have_the_gradient_of_the_released_procedure():
    task = tasks.load("cb")
    loaded = nano("nano-opt")
    examples = encode(rows_of(task, 3), task, loaded, "lm")
    found = []
    for scoring in ("shared", "per_candidate"):
        loss = Scorer(loaded, task, "lm", scoring).loss(examples)
        found.append(torch.autograd.grad(loss, list(loaded.model.parameters())))
    for ours, released in zip(*found, strict=True):
        torch.testing.assert_close(ours, released, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", CAUSAL + MASKED)
@pytest.mark.parametrize("task_name", ["sst2", "rte", "cb"])
def test_classification_head_scores_equal_those_of_unpadded_plain_inputs(name, task_name):
    task = tasks.load(task_name)
    rows = rows_of(task)
    loaded = nano(name, head="classification", labels=len(task.candidates(rows[0])))
    scorer = Scorer(loaded, task, "classification")
    examples = encode(rows, task, loaded, "classification")
    loss = 0.0
    for row, scores in zip(rows, scorer.candidate_scores(examples), strict=True):
        tokens = torch.tensor([loaded.tokenizer(*task.inputs(row))["input_ids"]])
        with torch.no_grad():
            alone = loaded.model(input_ids=tokens).logits[0].log_softmax(-1)
        assert scores.tolist() == pytest.approx(alone.tolist(), abs=close(name, torch.float64))
        loss -= float(alone[task.gold(row)]) / len(rows)
    assert scorer.loss(examples).item() == pytest.approx(loss, abs=close(name, torch.float64))


def test_masks_at_different_positions_of_one_batch_are_each_scored():
    """In NLI and TREC, the mask precedes or follows texts of different lengths."""
    loaded = nano("nano-roberta")
    for name in ("rte-cloze", "trec"):
        task = tasks.load(name)
        rows = rows_of(task, 7)
        rows[0] = {key: v if key == "label" else " ".join(v.split()[:3]) for key, v in rows[0].items()}
        examples = encode(rows, task, loaded, "lm")
        mask = loaded.tokenizer.mask_token_id
        assert len({len(e.prompt) - e.prompt.index(mask) for e in examples}) > 1
        scorer = Scorer(loaded, task)
        assert scorer.loss(examples).item() == pytest.approx(naive_loss(loaded, task, rows), abs=1e-10)
        for row, scores in zip(rows, scorer.candidate_scores(examples), strict=True):
            assert scores.tolist() == pytest.approx(naive_scores(loaded, task, row), abs=1e-10)
