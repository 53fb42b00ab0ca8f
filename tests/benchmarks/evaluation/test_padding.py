"""Tests that scores in a padded batch equal those of single sequences, for many architectures."""

import dataclasses

import pytest
import torch

from benchmarks import tasks
from benchmarks.errors import UserError
from benchmarks.evaluation.scoring import Scorer
from tests.benchmarks.evaluation.architectures import small
from tests.benchmarks.evaluation.naive_scores import (
    encode,
    naive_loss,
    naive_mask_scores,
    naive_score,
    rows_of,
)

# The way in which each architecture's prompts are padded. In float64, padding on the left gives NaN in Bloom,
# Gemma 2, and MPT, whose softmax is in float32, so they are padded on the right.
CAUSAL = {
    "biogpt": "left", "bart": "right", "bloom": "right", "cohere": "left", "ctrl": "left", "falcon": "left",
    "falcon_mamba": "left", "gemma": "left", "gemma2": "right", "gemma3_text": "left", "gpt2": "left",
    "gpt_neo": "left", "gpt_neox": "left", "gptj": "left", "lfm2": "left", "llama": "left", "mamba2": "left",
    "mistral": "left", "mpt": "right", "olmo2": "left", "openai-gpt": "left", "opt": "left", "phi": "left",
    "phi3": "left", "qwen2": "left", "qwen3": "left", "recurrent_gemma": "right", "roberta": "left",
    "rwkv": "right", "xlm-roberta": "left",
}  # fmt: skip
MASKED = {
    "albert": "left", "bert": "left", "camembert": "left", "convbert": "none", "deberta": "left",
    "deberta-v2": "left", "distilbert": "left", "electra": "left", "esm": "left", "fnet": "none",
    "modernbert": "left", "mpnet": "left", "nystromformer": "none", "roberta": "left", "roformer": "right",
    "squeezebert": "left", "xlm-roberta": "left",
}  # fmt: skip
HEADS = [("causal", name, "left") for name in ("gpt2", "llama", "mistral", "opt", "openai-gpt", "phi")]
HEADS += [("causal", "bloom", "right"), ("causal", "mpt", "right"), ("masked", "funnel", "right")]
HEADS += [("masked", name, {"left": "right"}.get(side, side)) for name, side in MASKED.items()]
# Rotary positions, norms, and recurrences compute in float32 for every dtype.
CLOSE = 2e-5


def uneven(task):
    """Return rows whose prompts have different lengths, in an order that no batch has by itself."""
    # The models have 64 positions.
    words = [30, 30, 3, 30, 30]
    return [
        {k: v if k == "label" else " ".join(v.split()[:most]) for k, v in row.items()}
        for row, most in zip(rows_of(task, 5), words, strict=True)
    ]


@pytest.mark.slow_except(
    "bart-right", "gemma2-right", "gpt2-left", "lfm2-left", "mistral-left", "xlm-roberta-left"
)
@pytest.mark.parametrize(("name", "side"), CAUSAL.items())
def test_a_causal_model_scores_a_batch_like_single_sequences(name, side):
    loaded = small(name, "causal")
    for candidates in ([" terrible", " great"], [" terrible", " great and good .", " not great"]):
        task = dataclasses.replace(tasks.load("sst2"), candidates=lambda row, c=candidates: c)
        rows = uneven(task)
        examples = encode(rows, task, loaded, "lm")
        assert len({len(e.prompt) for e in examples}) > 1
        alone = [[naive_score(loaded, task.prompt(row), c) for c in candidates] for row in rows]
        for scoring in ("shared", "per_candidate"):
            scorer = Scorer(loaded, task, "lm", scoring)
            assert scorer.padding.side == side
            with torch.no_grad():
                for found, expected in zip(scorer.candidate_scores(examples), alone, strict=True):
                    assert found.tolist() == pytest.approx(expected, abs=CLOSE)
                loss = scorer.loss(examples).item()
            assert loss == pytest.approx(naive_loss(loaded, task, rows), abs=CLOSE)


@pytest.mark.parametrize(("name", "side"), MASKED.items())
def test_a_masked_model_scores_a_batch_like_single_sequences(name, side):
    loaded = small(name, "masked")
    task = tasks.load("sst2-cloze")
    rows = uneven(task)
    examples = encode(rows, task, loaded, "lm")
    scorer = Scorer(loaded, task)
    assert scorer.padding.side == side
    for row, scores in zip(rows, scorer.candidate_scores(examples), strict=True):
        text = task.cloze(row, loaded.tokenizer.mask_token)
        expected = naive_mask_scores(loaded, text, task.candidates(row))
        assert scores.tolist() == pytest.approx(expected, abs=CLOSE)


@pytest.mark.parametrize(("kind", "name", "side"), HEADS)
def test_a_classification_head_scores_a_batch_like_single_sequences(kind, name, side):
    loaded = small(name, kind, "classification")
    task = tasks.load("cb")
    rows = uneven(task)
    examples = encode(rows, task, loaded, "classification")
    assert len({e.length for e in examples}) > 1
    scorer = Scorer(loaded, task, "classification")
    assert scorer.padding.side == side
    for row, scores in zip(rows, scorer.candidate_scores(examples), strict=True):
        tokens = torch.tensor([loaded.tokenizer(*task.inputs(row))["input_ids"]])
        with torch.no_grad():
            alone = loaded.model(input_ids=tokens).logits[0].log_softmax(-1)
        assert scores.tolist() == pytest.approx(alone.tolist(), abs=CLOSE)


def test_training_in_groups_of_equal_length_has_the_gradient_of_the_mean_loss():
    loaded, task = small("convbert", "masked"), tasks.load("sst2-cloze")
    rows = uneven(task)
    examples = encode(rows, task, loaded, "lm")
    scorer = Scorer(loaded, task)
    weights = [p for p in loaded.model.parameters() if p.requires_grad]
    together = torch.autograd.grad(scorer.loss(examples), weights, allow_unused=True)
    alone = [torch.autograd.grad(scorer.loss([e]), weights, allow_unused=True) for e in examples]
    for found, *each in zip(together, *alone, strict=True):
        if found is not None:
            torch.testing.assert_close(found, sum(each) / len(each), rtol=1e-9, atol=1e-12)


def test_a_sliding_window_is_kept_when_candidates_continue_a_longer_prompt():
    """Mistral's layers see 4 tokens here, fewer than every prompt has."""
    loaded, task = small("mistral", "causal"), tasks.load("record")
    rows = rows_of(task, 3)
    scorer = Scorer(loaded, task)
    assert scorer._continues_prompts
    examples = encode(rows, task, loaded, "lm")
    assert min(len(e.prompt) for e in examples) > loaded.model.config.sliding_window
    for row, scores in zip(rows, scorer.candidate_scores(examples), strict=True):
        expected = [naive_score(loaded, task.prompt(row), c) for c in task.candidates(row)]
        assert scores.tolist() == pytest.approx(expected, abs=CLOSE)


def test_a_model_that_sees_later_tokens_is_rejected_as_a_causal_lm():
    bidirectional = small("xlnet", "causal", dtype=torch.float32)
    with pytest.raises(UserError, match=r"small-xlnet: it is not a causal LM: .* see the answers") as caught:
        Scorer(bidirectional, tasks.load("sst2"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["bart", "gpt2", "mamba2"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_way_of_padding_does_not_depend_on_the_dtype(name, dtype):
    found = Scorer(small(name, "causal", dtype=dtype), tasks.load("sst2")).padding
    assert found.side == CAUSAL[name]
