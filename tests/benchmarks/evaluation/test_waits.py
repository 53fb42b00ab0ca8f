"""Tests that a prepared loss never waits for its device, on the meta device, where no value can be read."""

import copy

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks import tasks
from benchmarks.evaluation import transfer
from benchmarks.evaluation.scoring import Scorer
from benchmarks.models import _transformers
from tests.benchmarks.evaluation.architectures import small
from tests.benchmarks.evaluation.naive_scores import encode, rows_of

# (kind, architecture, head, task): one token per candidate, several tokens, an answer, a mask, and a head.
CASES = [
    ("causal", "opt", "lm", "sst2"), ("causal", "opt", "lm", "squad"), ("causal", "opt", "lm", "cb"),
    ("causal", "opt", "classification", "cb"), ("causal", "llama", "lm", "sst2"),
    ("causal", "llama", "lm", "squad"), ("causal", "gpt2", "lm", "sst2"), ("causal", "gpt2", "lm", "squad"),
    ("causal", "gpt2", "classification", "cb"), ("masked", "roberta", "lm", "sst2-cloze"),
    ("masked", "roberta", "classification", "cb"), ("masked", "bert", "lm", "sst2-cloze"),
    ("masked", "distilbert", "lm", "sst2-cloze"),
]  # fmt: skip


class ForbidTransfers(TorchDispatchMode):
    """An error for every operator that combines tensors with values and tensors of another device.

    On a GPU, each would be a copy from pageable memory, which waits. Numbers are passed to a kernel.
    """

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        tensors = [t for t in tree_leaves((args, kwargs, out)) if isinstance(t, torch.Tensor) and t.ndim > 0]
        assert len({t.device.type for t in tensors}) <= 1, f"{func} copies between devices"
        return out


def on_meta(kind, name, head, task_name, masks_all=True):
    """Return a scorer that was measured on a CPU and then moved to the meta device, and its examples."""
    loaded, task = copy.copy(small(name, kind, head, torch.float32)), tasks.load(task_name)
    loaded.model = copy.deepcopy(loaded.model).train()
    rows = rows_of(task, 4)
    for row, words in zip(rows, (30, 3, 12, 30), strict=True):
        row.update(
            {k: " ".join(v.split()[:words]) for k, v in row.items() if isinstance(v, str) and k != "label"}
        )
    examples = encode(rows, task, loaded, head)
    scorer = Scorer(loaded, task, head)
    loaded.model.to("meta")
    scorer.device = scorer.padding.device = torch.device("meta")
    scorer.padding.masks_all = masks_all and kind == "causal"
    return scorer, examples


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_a_prepared_loss_and_its_gradient_read_no_value_and_copy_nothing(case, checkpointing):
    scorer, examples = on_meta(*case)
    if checkpointing:
        _transformers.enable_checkpointing(scorer.model)
    for batch in (examples, [examples[0]] * 3):
        prepared = scorer.prepare(batch)
        with ForbidTransfers():
            for _ in range(2):
                scorer.loss(prepared).backward()


@pytest.mark.parametrize("case", [CASES[0], CASES[4], CASES[9]], ids="-".join)
def test_the_meta_device_stands_in_for_a_gpu(case):
    """It notices what transformers reads from a mask of shape (batch, tokens), and copies from the host."""
    scorer, examples = on_meta(*case)
    prepared = scorer.prepare(examples)
    scorer.padding.ready = False
    with pytest.raises(RuntimeError, match="meta tensors"):
        scorer.loss(prepared)
    with pytest.raises(AssertionError, match="copies between devices"), ForbidTransfers():
        torch.ones(3, device="meta")[torch.tensor([0, 1])]


@pytest.mark.parametrize("case", [CASES[4], CASES[6]], ids="-".join)
def test_a_decoder_would_look_at_its_positions_without_a_mask(case):
    scorer, examples = on_meta(*case, masks_all=False)
    prepared = scorer.prepare([examples[0]] * 3)
    with pytest.raises((RuntimeError, NotImplementedError), match="meta"):
        scorer.loss(prepared)


def test_values_reach_a_gpu_through_pinned_memory_without_a_wait(monkeypatch):
    calls = []

    class Host(torch.Tensor):
        def to(self, *args, **kwargs):
            calls.append((*args, kwargs))
            return torch.Tensor.as_subclass(self, torch.Tensor)

    create = torch.tensor

    def pinned(values, **kwargs):
        calls.append(kwargs)
        return create(values).as_subclass(Host)

    monkeypatch.setattr(torch, "tensor", pinned)
    gpu = torch.device("cuda", 1)
    assert transfer.on_device([[1, 2]], gpu).tolist() == [[1, 2]]
    assert calls == [{"pin_memory": True}, (gpu, {"non_blocking": True})]
