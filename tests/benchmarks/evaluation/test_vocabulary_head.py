"""Tests that a masked LM computes logits at its masks only, with equal scores and gradients."""

import copy

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from baselines.mezo import MeZO
from benchmarks import tasks
from benchmarks.evaluation.scoring import Scorer
from tests.benchmarks.evaluation.architectures import small
from tests.benchmarks.evaluation.naive_scores import encode, rows_of

TASKS = ("sst2-cloze", "rte-cloze")
NAMES = ("roberta", "bert", "distilbert", "modernbert", "electra", "convbert", "deberta-v2")


class LargestLogits(TorchDispatchMode):
    """Record the most positions of logits of shape (batch, positions, vocabulary)."""

    def __init__(self, vocabulary):
        super().__init__()
        self.vocabulary, self.rows = vocabulary, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, torch.Tensor) and leaf.ndim == 3 and leaf.shape[-1] == self.vocabulary:
                self.rows = max(self.rows, leaf.numel() // self.vocabulary)
        return out


def build(name, task_name="rte-cloze"):
    loaded, task = small(name, "masked"), tasks.load(task_name)
    rows = rows_of(task, 4)
    for row, words in zip(rows, (14, 3, 9, 14), strict=True):
        row.update(
            {k: " ".join(v.split()[:words]) for k, v in row.items() if isinstance(v, str) and k != "label"}
        )
    return Scorer(loaded, task), encode(rows, task, loaded, "lm")


def loss_and_gradients(scorer, examples):
    loss = scorer.loss(examples)
    weights = list(scorer.model.parameters())
    return [loss, *torch.autograd.grad(loss, weights, allow_unused=True)]


@pytest.mark.parametrize("task_name", TASKS)
@pytest.mark.parametrize("name", NAMES)
def test_logits_exist_at_the_masks_only_and_change_nothing(name, task_name):
    scorer, examples = build(name, task_name)
    vocabulary = scorer.model.get_input_embeddings().num_embeddings
    with LargestLogits(vocabulary) as seen:
        found = loss_and_gradients(scorer, examples)
    # ConvBERT's prompts run in groups of equal length.
    assert 0 < seen.rows <= len(examples)
    scorer._mask_head = None
    with LargestLogits(vocabulary) as seen:
        expected = loss_and_gradients(scorer, examples)
    assert seen.rows > 2 * len(examples)
    for one, other in zip(found, expected, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)


def test_a_head_that_mixes_positions_gets_all_of_them(monkeypatch):
    loaded = copy.copy(small("roberta", "masked"))
    loaded.model = copy.deepcopy(loaded.model)
    head = loaded.model.lm_head
    monkeypatch.setattr(head, "forward", lambda x, alone=head.forward: alone(x + x.mean(1, keepdim=True)))
    assert Scorer(loaded, tasks.load("sst2-cloze"))._mask_head is None


def test_a_model_without_known_output_embeddings_computes_all_logits(monkeypatch):
    loaded = small("roberta", "masked")
    monkeypatch.setattr(loaded.model, "get_output_embeddings", lambda: None)
    scorer = Scorer(loaded, tasks.load("sst2-cloze"))
    _, examples = build("roberta", "sst2-cloze")
    vocabulary = loaded.model.get_input_embeddings().num_embeddings
    with LargestLogits(vocabulary) as seen, torch.no_grad():
        scorer.loss(examples)
    assert seen.rows > len(examples)


def test_mezo_takes_the_same_step_and_no_hook_remains():
    """The weights of the head are perturbed like all others."""
    steps = []
    for reads_only_masks in (True, False):
        scorer, examples = build("roberta")
        scorer.loaded = copy.copy(scorer.loaded)
        scorer.model = scorer.padding.model = scorer.loaded.model = copy.deepcopy(scorer.model)
        scorer._mask_head = scorer.model.lm_head if reads_only_masks else None
        hooks = len(scorer.model.lm_head._forward_pre_hooks)
        batch = scorer.prepare(examples)
        optimizer = MeZO(scorer.model, lr=1e-3, eps=1e-3, seed=0)
        stats = optimizer.step(zo_loss=lambda scorer=scorer, batch=batch: scorer.loss(batch))
        steps.append((stats.projected_grad, scorer.model.lm_head.decoder.weight))
        del optimizer
        assert len(scorer.model.lm_head._forward_pre_hooks) == hooks
    (found, weight), (expected, full_weight) = steps
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(weight, full_weight, rtol=0, atol=1e-9)
