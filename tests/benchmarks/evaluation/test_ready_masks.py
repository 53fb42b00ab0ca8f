"""Tests of ready masks: equal to those of transformers, and used only where they change no result."""

import copy

import pytest
import torch
from transformers.masking_utils import create_bidirectional_mask, create_causal_mask

from benchmarks import tasks
from benchmarks.evaluation.masks import ready_mask
from benchmarks.evaluation.scoring import Scorer
from tests.benchmarks.evaluation.architectures import small
from tests.benchmarks.evaluation.naive_scores import encode, rows_of

# Windows, ALiBi, recurrences, and attention of their own need more than one boolean mask.
READY = {
    ("causal", "lm"): {
        "opt": True, "llama": True, "gpt2": True, "roberta": True, "mistral": False, "gemma3_text": False,
        "bloom": False, "falcon": False,
    },
    ("masked", "lm"): {
        "roberta": True, "bert": True, "distilbert": True, "modernbert": False, "deberta-v2": False,
        "convbert": False,
    },
    ("causal", "classification"): {"opt": True, "llama": True, "gpt2": True, "bloom": False},
    ("masked", "classification"): {"roberta": True, "bert": True},
}  # fmt: skip
CASES = [(*key, name, ready) for key, names in READY.items() for name, ready in names.items()]
REAL = {
    "left": torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]]),
    "right": torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]),
}


@pytest.mark.parametrize("side", REAL)
@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_a_ready_mask_is_the_one_that_transformers_builds(kind, side):
    config = small("llama" if kind == "causal" else "roberta", kind).model.config
    embeddings, real = torch.empty(2, 5, 0), REAL[side]
    create = create_causal_mask if kind == "causal" else create_bidirectional_mask
    expected = create(config, embeddings, real, past_key_values=None)
    found = ready_mask(torch.zeros(2, 5), real, causal=kind == "causal")
    assert found.dtype == expected.dtype == torch.bool
    assert torch.equal(found, expected)


def test_a_batch_without_padding_shares_one_mask():
    tokens = torch.zeros(3, 4)
    shared = ready_mask(tokens, None, causal=True)
    assert shared.shape == (1, 1, 4, 4)
    assert torch.equal(shared.expand(3, -1, -1, -1), ready_mask(tokens, torch.ones(3, 4), causal=True))


@pytest.mark.medium
@pytest.mark.parametrize(("kind", "head", "name", "ready"), CASES)
def test_ready_masks_are_used_where_losses_and_gradients_stay_equal(kind, head, name, ready):
    loaded = small(name, kind, head)
    task = tasks.load({"classification": "cb"}.get(head, "sst2-cloze" if kind == "masked" else "squad"))
    rows = rows_of(task, 3)
    for row, words in zip(rows, (30, 3, 12), strict=True):
        row.update(
            {k: " ".join(v.split()[:words]) for k, v in row.items() if isinstance(v, str) and k != "label"}
        )
    examples = encode(rows, task, loaded, head)
    scorer = Scorer(loaded, task, head)
    assert scorer.padding.ready == ready
    if not ready:
        return
    weights = list(loaded.model.parameters())
    for batch, masks_all in ((examples, False), (examples, True), ([examples[0]] * 2, True)):
        results = []
        for is_ready in (True, False):
            scorer.padding.ready, scorer.padding.masks_all = (
                is_ready,
                is_ready and masks_all and kind == "causal",
            )
            loss = scorer.loss(batch)
            results.append([loss, *torch.autograd.grad(loss, weights, allow_unused=True)])
        for found, expected in zip(*results, strict=True):
            assert (found is None) == (expected is None)
            if found is not None:
                torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_other_implementations_of_attention_keep_their_masks():
    loaded = copy.copy(small("opt", "causal"))
    loaded.model = copy.deepcopy(loaded.model)
    loaded.model.set_attn_implementation("eager")
    assert not Scorer(loaded, tasks.load("sst2")).padding.ready
