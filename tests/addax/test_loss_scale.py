"""Tests that the loss scale preserves small float16 gradients and changes nothing else."""

import pytest
import torch
from torch import nn

from addax.loss_scale import LossScale
from baselines.ip_sgd import IPSGD
from baselines.sgd import SGD
from tests.numerics.oracle import MLP, TIED, bits


@pytest.mark.parametrize("method", [IPSGD, SGD])
def test_every_scale_gives_the_same_bits(method, monkeypatch):
    """Scales are powers of two, so without overflow or underflow every scale gives the same bits."""
    ends = []
    for scale in (2.0**8, 2.0**11):
        monkeypatch.setattr(LossScale, "INITIAL", scale)
        model = TIED.build(torch.float16)
        opt = method(model, lr=0.05)
        for k in range(3):
            opt.step(fo_loss=TIED.closure(model, k))
        assert opt.loss_scale.scale.item() == scale
        ends.append(bits(model))
    assert ends[0] == ends[1]


def test_gradients_below_the_smallest_float16_number_are_applied():
    """Gradients of 2^-26 are smaller than every positive float16 number."""
    model = nn.Linear(4, 1, bias=False).half()
    x = torch.ones(1, 4, dtype=torch.float16)
    before = model.weight.detach().clone()
    opt = IPSGD(model, lr=2.0**24, rounding="nearest")
    opt.step(fo_loss=lambda: (model(x).float() * 2.0**-26).mean())
    torch.testing.assert_close(model.weight.detach(), (before.float() - 0.25).half(), rtol=0, atol=0)


def test_the_scale_doubles_after_enough_clean_steps():
    scale = LossScale()
    scale.begin(torch.device("cpu"))
    for k in range(LossScale.GROWTH_STEPS):
        assert scale.scale.item() == LossScale.INITIAL, k
        scale.end([torch.tensor(True)])
    assert scale.scale.item() == 2 * LossScale.INITIAL


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
def test_only_float16_is_scaled(dtype):
    model = MLP.build(dtype)
    opt = IPSGD(model, lr=0.1)
    opt.step(fo_loss=MLP.closure(model, 0))
    assert opt.loss_scale.scale is None
