"""Tests that need two GPUs: equal z, and a sharded model's scores and steps."""

import pytest
import torch

from addax import Addax, noise
from benchmarks import models, tasks
from benchmarks.data.splits import load_splits
from benchmarks.data.tokenize import encode
from benchmarks.evaluation.scoring import Scorer

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices"),
]
NAME = "nano-llama"
# The second card gets the last layers and the head.
PLACES = {"model.embed_tokens": 0, "model.rotary_emb": 0, "model.layers.0": 0, "model.layers.1": 1}
PLACES |= {"model.layers.2": 1, "model.norm": 1, "lm_head": 1}


@pytest.fixture
def scorers():
    """Return a scorer on the CPU, one on two cards, and examples with candidates of several tokens."""
    task, found = tasks.load("record"), []
    for device in ("cpu", PLACES):
        loaded = models.load(NAME, dtype=torch.float32, device=device, head="lm")
        found.append(Scorer(loaded, task))
    assert len({p.device for p in loaded.model.parameters()}) == 2
    rows = load_splits("record", "builtin", train=8, validation=1, test=1, seed=0).train
    return *found, encode(rows, task, loaded, "lm")


@pytest.mark.parametrize("direction", noise.DIRECTIONS)
def test_z_is_equal_on_both_cards(direction):
    shape = torch.Size([2**22 + 5])
    first, second = (noise.draw(5, 2, shape, torch.device("cuda", i), direction) for i in (0, 1))
    assert torch.equal(first.cpu(), second.cpu())


def test_a_sharded_model_scores_longer_candidates(scorers):
    on_cpu, sharded, examples = scorers
    with torch.no_grad():
        pairs = zip(*(s.candidate_scores(examples) for s in (sharded, on_cpu)), strict=True)
    for ours, theirs in pairs:
        assert ours.tolist() == pytest.approx(theirs.tolist(), rel=1e-4, abs=1e-4)


def test_a_sharded_model_takes_a_step(scorers):
    _, sharded, examples = scorers
    opt = Addax(sharded.model, lr=1e-3, alpha=0.5)
    before = [p.detach().clone() for p in sharded.model.parameters()]
    stats = opt.step(zo_loss=lambda: sharded.loss(examples), fo_loss=lambda: sharded.loss(examples))
    assert not stats.skipped
    assert any(not torch.equal(p, old) for p, old in zip(sharded.model.parameters(), before, strict=True))
