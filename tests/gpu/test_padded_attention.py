"""Tests that padded batches in bfloat16 have finite gradients, also where cuDNN's attention returns NaN.

With a mask, a length of 64 modulo 128, and rows whose log-sum-exp is below -88.7, cuDNN's backward pass
returned NaN on cards of compute capability 9 and 10 (pytorch/pytorch#196678).
"""

import pytest
import torch
from torch import nn

from addax import Addax
from baselines.ip_sgd import IPSGD
from tests.gpu.small_models import HEADS, WIDTH, batch_of, build, scorer_of

# Scores are about -SHIFT^2 sqrt(width of a head) = -200. A shift of all scores does not change the softmax.
SHIFT = 7.0
CASES = pytest.mark.parametrize(
    ("family", "side"), [("opt", "left"), ("roberta", "left"), ("roberta", "right"), ("llama", "left")]
)
LENGTHS = pytest.mark.parametrize("length", [64, 192])


def shift_scores(model):
    """Make all attention scores strongly negative, by the biases of queries and keys if there are any."""
    shifted = 0
    for name, module in model.named_modules():
        kind = name.rpartition(".")[2]
        if isinstance(module, nn.Linear) and module.bias is not None:
            sign = {"q_proj": 1, "query": 1, "k_proj": -1, "key": -1}.get(kind, 0)
            nn.init.constant_(module.bias, sign * SHIFT) if sign else None
            shifted += abs(sign)
    return shifted


@pytest.fixture
def padded(gpu):
    """Return a function from a family, a side, and a length to a model and the loss of a padded batch."""

    def make(family, side, length):
        model = build(family, torch.bfloat16, gpu.place)
        scorer = scorer_of(model, family)
        scorer.padding.side = side
        assert shift_scores(model) == (0 if family == "llama" else 4)
        return model, lambda: scorer.loss(batch_of(length, length - 9, length // 2, 5))

    return make


@LENGTHS
@CASES
def test_gradients_are_finite(padded, family, side, length):
    model, loss = padded(family, side, length)
    loss().backward()
    for name, p in model.named_parameters():
        assert p.grad is None or torch.isfinite(p.grad).all(), name


@LENGTHS
@pytest.mark.parametrize("method", [IPSGD, Addax])
def test_weights_stay_finite(padded, method, length):
    model, loss = padded("opt", "left", length)
    opt = method(model, lr=1e-3)
    for _ in range(2):
        stats = opt.step(**dict.fromkeys(opt.next_closures(), loss))
    assert not stats.skipped
    assert all(torch.isfinite(p).all() for p in model.parameters())


def test_the_scores_are_as_negative_as_intended(padded):
    model, loss = padded("opt", "left", 64)
    seen = []
    attention = model.model.decoder.layers[0].self_attn
    for projection in (attention.q_proj, attention.k_proj):
        projection.register_forward_hook(lambda _m, _i, out: seen.append(out.detach().float()))
    loss()
    query, key = (t.unflatten(-1, (HEADS, -1)).transpose(1, 2) for t in seen)
    scores = query @ key.transpose(2, 3) / (WIDTH // HEADS) ** 0.5
    assert scores.logsumexp(-1).max() < -88.7
