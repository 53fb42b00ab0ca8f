"""Comparisons of MeZO and IP-SGD with a dense float64 oracle, on any model."""

import random
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.ip_sgd import IPSGD
from baselines.mezo import MeZO
from tests.numerics.oracle import Dense, Problem, distance, generator

EPS, LR = 1e-3, 1e-3
Logits = Callable[[nn.Module], Tensor]


def roughen(model: nn.Module, scale: float = 0.2) -> nn.Module:
    """Add noise to every trainable parameter, so that none is 0 or 1, and return the model in float64."""
    rng = generator(1)
    model.double()
    with torch.no_grad():
        for p in model.parameters():
            if p.requires_grad:
                p.add_(torch.randn(p.shape, generator=rng) * scale)
    return model


def cross_entropy(logits: Logits) -> Callable[[nn.Module], Tensor]:
    """Return a loss in float64: the cross-entropy of a model's logits `(..., classes)` at fixed targets."""

    def loss(model: nn.Module) -> Tensor:
        flat = logits(model).double().flatten(0, -2)
        return F.cross_entropy(flat, torch.arange(len(flat)) * 7 % flat.shape[-1])

    return loss


def seed_everything() -> None:
    """Seed the global generators that a model may draw from."""
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002 (models draw from the global generator)
    random.seed(3)


def oracle(model: nn.Module, loss: Callable[[nn.Module], Tensor]) -> Dense:
    """Return the dense oracle of a model. Each of its evaluations starts from the same state."""
    start = {name: buffer.clone() for name, buffer in model.named_buffers()}

    def from_start(copy: nn.Module, _batch: int) -> Tensor:
        seed_everything()
        for name, buffer in copy.named_buffers():
            buffer.data.copy_(start[name])
        return loss(copy)

    return Dense(model, Problem("zoo", lambda dtype: model.to(dtype), from_start))


def check_mezo(model: nn.Module, loss: Callable[[nn.Module], Tensor]) -> None:
    """Check that a step of MeZO has the oracle's projected_grad and takes theta to the oracle's."""
    dense = oracle(model, loss)
    opt = MeZO(model, lr=LR, eps=EPS, seed=5)
    z = dense.z(opt.step_seed())
    seed_everything()
    stats = opt.step(zo_loss=lambda: loss(model))
    expected = dense.g0(0, EPS, z)
    assert abs(expected) > 1e-3
    torch.testing.assert_close(stats.projected_grad.item(), expected, rtol=1e-9, atol=1e-9)
    dense.move(LR * expected, z)
    assert distance(model, dense) < 1e-11


def check_ip_sgd(model: nn.Module, loss: Callable[[nn.Module], Tensor]) -> None:
    """Check that a step of IP-SGD takes theta to theta - lr grad L, computed with plain autograd."""
    dense = oracle(model, loss)
    seed_everything()
    IPSGD(model, lr=LR).step(fo_loss=lambda: loss(model))
    grad = dense.grad(0)
    assert max(g.abs().max().item() for g in grad.values()) > 1e-3
    dense.move(LR, grad)
    assert distance(model, dense) < 1e-11
