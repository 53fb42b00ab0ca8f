"""Comparisons of MeZO and IP-SGD with a dense float64 oracle, on any model."""

import random
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.ip_sgd import IPSGD
from baselines.mezo import MeZO
from tests.numerics.oracle import Dense, Problem, generator

EPS, LR = 1e-3, 1e-3
#: Absolute tolerance of updated weights.
TOLERANCE = {torch.float64: 1e-11, torch.float32: 1e-5}
Logits = Callable[[nn.Module], Tensor]


def roughen(model: nn.Module, scale: float = 0.2) -> nn.Module:
    """Add noise to every trainable parameter, so that none is 0 or 1, and return the model."""
    rng = generator(1)
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
    tolerance = 1e-9 if all(theta.dtype == torch.float64 for theta in dense.theta.values()) else 2e-3
    torch.testing.assert_close(stats.projected_grad.item(), expected, rtol=tolerance, atol=tolerance)
    dense.move(LR * expected, z)
    check_theta(model, dense)


def check_ip_sgd(model: nn.Module, loss: Callable[[nn.Module], Tensor]) -> None:
    """Check that a step of IP-SGD takes theta to theta - lr grad L, computed with plain autograd."""
    dense = oracle(model, loss)
    seed_everything()
    IPSGD(model, lr=LR).step(fo_loss=lambda: loss(model))
    # Backpropagation proper, because a model may start nested backward passes (Reformer's reversible layers).
    dense.problem.loss(dense.model, 0).backward()
    grad = {name: p.grad for name, p in dense.model.named_parameters() if p.grad is not None}
    assert any((g.abs() > 1e-3).any() for g in grad.values())
    dense.move(LR, {n: grad.get(n, torch.zeros_like(value)) for n, value in dense.theta.items()})
    check_theta(model, dense)


def check_theta(model: nn.Module, dense: Dense) -> None:
    """Check that a model's trainable parameters equal the oracle's,."""
    parameters = dict(model.named_parameters())
    for name, expected in dense.theta.items():
        torch.testing.assert_close(
            parameters[name].detach().double(), expected.double(), rtol=0, atol=TOLERANCE[parameters[name].dtype]
        )
