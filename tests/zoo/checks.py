"""Comparisons of MeZO and IP-SGD with a dense oracle, on any model and any loss."""

import random
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from addax import noise
from baselines.ip_sgd import IPSGD
from baselines.mezo import MeZO
from tests.numerics.oracle import CPU, Point, generator

EPS, LR = 1e-3, 1e-3
#: Tolerances by dtype: of projected_grad (relative and absolute), and of updated weights (absolute).
GRAD_TOLERANCE = {torch.float64: 1e-9, torch.float32: 2e-3}
WEIGHT_TOLERANCE = {torch.float64: 1e-11, torch.float32: 1e-5}

Loss = Callable[[nn.Module], Tensor]


def roughen(model: nn.Module, scale: float = 0.2) -> nn.Module:
    """Add noise to every trainable parameter, so that none is exactly 0 or 1, and return the model."""
    rng = generator(1)
    with torch.no_grad():
        for p in model.parameters():
            if p.requires_grad:
                p.add_(torch.randn(p.shape, generator=rng) * scale)
    return model


def cross_entropy(logits: Callable[[nn.Module], Tensor]) -> Loss:
    """Return a loss in float64: the cross-entropy of a model's logits `(..., classes)` at fixed targets."""

    def loss(model: nn.Module) -> Tensor:
        flat = logits(model).double().flatten(0, -2)
        return F.cross_entropy(flat, torch.arange(len(flat)) * 7 % flat.shape[-1])

    return loss


def seed_everything() -> None:
    """Seed the global generators that a model may draw from."""
    torch.manual_seed(3)
    np.random.seed(3)
    random.seed(3)


class Oracle:
    """Losses and gradients of a model at any point, with plain in-place copies and plain autograd.

    It uses the model itself, because copies lose gradient hooks. `restore` undoes everything it changes.
    """

    def __init__(self, model: nn.Module, loss: Loss) -> None:
        self.model = model
        self.loss = loss
        self.theta: Point = {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
        self.buffers: Point = {n: b.clone() for n, b in model.named_buffers()}
        indices = {name: i for i, (name, _) in enumerate(model.named_parameters())}
        self.indices = {name: indices[name] for name in self.theta}

    def restore(self, point: Point | None = None) -> None:
        """Set the parameters to a point (None means theta), and generators and buffers to their start."""
        seed_everything()
        parameters, buffers = dict(self.model.named_parameters()), dict(self.model.named_buffers())
        with torch.no_grad():
            for name, value in (self.theta if point is None else point).items():
                parameters[name].copy_(value)
                parameters[name].grad = None
            for name, value in self.buffers.items():
                buffers[name].copy_(value)

    def z(self, seed: int) -> Point:
        """Return the direction of a step seed, in float64."""
        return {n: noise.draw(seed, i, self.theta[n].shape, CPU).double() for n, i in self.indices.items()}

    @torch.no_grad()
    def g0(self, z: Point) -> float:
        """Return ( L(theta + eps z) - L(theta - eps z) ) / (2 eps)."""
        losses = []
        for eps in (EPS, -EPS):
            self.restore({n: value + eps * z[n] for n, value in self.theta.items()})
            losses.append(self.loss(self.model).item())
        self.restore()
        return (losses[0] - losses[1]) / (2 * EPS)

    def grad(self) -> Point:
        """Return the gradient at theta. It is 0 for parameters that the loss does not use."""
        self.restore()
        self.loss(self.model).backward()
        parameters = dict(self.model.named_parameters())
        grads = {n: parameters[n].grad for n in self.theta}
        self.restore()
        return {n: torch.zeros_like(self.theta[n]) if g is None else g.to_dense() for n, g in grads.items()}

    def check_step(self, step: Point) -> None:
        """Check that the model's parameters are theta - lr step."""
        for name, p in self.model.named_parameters():
            if name in self.theta:
                expected = self.theta[name].double() - LR * step[name].double()
                tolerance = WEIGHT_TOLERANCE[p.dtype]
                torch.testing.assert_close(p.detach().double(), expected, rtol=0, atol=tolerance)


def check_mezo(model: nn.Module, loss: Loss) -> None:
    """Check one step of MeZO: its projected_grad and the new theta. The model keeps its old theta."""
    oracle = Oracle(model, loss)
    opt = MeZO(model, lr=LR, eps=EPS, seed=5)
    z = oracle.z(opt.step_seed())
    expected = oracle.g0(z)
    assert abs(expected) > 1e-3
    stats = opt.step(zo_loss=lambda: loss(model))
    tolerance = max(GRAD_TOLERANCE[p.dtype] for p in oracle.theta.values())
    torch.testing.assert_close(stats.projected_grad.item(), expected, rtol=tolerance, atol=tolerance)
    oracle.check_step({name: expected * direction for name, direction in z.items()})
    oracle.restore()


def check_ip_sgd(model: nn.Module, loss: Loss) -> None:
    """Check that one step of IP-SGD takes theta to theta - lr grad L. The model keeps its old theta."""
    oracle = Oracle(model, loss)
    grad = oracle.grad()
    assert any((g.abs() > 1e-3).any() for g in grad.values())
    IPSGD(model, lr=LR).step(fo_loss=lambda: loss(model))
    oracle.check_step(grad)
    oracle.restore()
