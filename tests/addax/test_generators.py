"""Tests that every generator of a forward pass is found, so that both evaluations draw the same numbers."""

import functools
import random

import numpy
import pytest
import torch
from torch import nn

from baselines.mezo import MeZO
from tests.numerics.oracle import fill, generator

X = torch.randn(8, 4, generator=generator(0), dtype=torch.float64)
ARITHMETICS = pytest.mark.parametrize("arithmetic", ["exact", "released"])


class Draws(nn.Module):
    """A layer that draws from generators that it holds."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.generators = None
        self.torch = torch.Generator().manual_seed(1)
        self.numpy = numpy.random.default_rng(2)
        self.legacy = numpy.random.RandomState(3)
        self.python = random.Random(4)

    def draw(self):
        """Return one number from every generator that a forward pass can draw from."""
        return [
            torch.rand(()).item(), torch.rand((), generator=self.torch).item(), numpy.random.rand(),
            self.numpy.random(), self.legacy.rand(), random.random(), self.python.random(),
        ]  # fmt: skip

    def forward(self, x):
        """Map `(batch, 4)` to `(batch, 4)`."""
        self.drawn = self.draw()
        return self.linear(x) * sum(self.drawn)


@ARITHMETICS
def test_both_evaluations_draw_the_same_numbers_from_every_generator(arithmetic):
    """After the step, every generator is in the state that one evaluation leaves."""
    model = fill(Draws(), torch.float64)
    opt = MeZO(model, lr=0.0, arithmetic=arithmetic)
    drawn = []

    def loss():
        value = model(X).mean()
        drawn.append(model.drawn)
        return value

    states = random.getstate(), numpy.random.get_state()
    try:
        with torch.random.fork_rng([]):
            for _ in range(2):
                opt.step(zo_loss=loss)
    finally:
        random.setstate(states[0])
        numpy.random.set_state(states[1])
    plus, minus, later_plus, later_minus = drawn
    assert plus == minus
    assert later_plus == later_minus
    assert all(a != b for a, b in zip(plus, later_plus, strict=True))


GLOBAL = numpy.random.default_rng(5)


def draw_from_a_global():
    return GLOBAL.random()


class DrawsFromAGlobal(nn.Linear):
    """A layer whose forward draws from a generator of its file."""

    def forward(self, x):
        """Map `(batch, 4)` to `(batch, 1)`."""
        return super().forward(x) * GLOBAL.random()


class Batches:
    """An object whose method is the closure."""

    def __init__(self, model) -> None:
        self.model = model
        self.generator = torch.Generator().manual_seed(1)

    def loss(self):
        """Return a loss with noise."""
        return self.model(X).mean() * torch.rand((), generator=self.generator)


def closures_that_draw(model):
    """Return closures that draw from generators which only they know, by name."""
    held, inner = random.Random(4), numpy.random.default_rng(2)

    def augmented(scale):
        return model(X).mean() * inner.random() * scale()

    return {
        "enclosed": lambda: model(X).mean() * held.random(),
        "in an enclosed function": lambda: augmented(lambda: 1.0),
        "global": lambda: model(X).mean() * GLOBAL.random(),
        "in a function": lambda: model(X).mean() * draw_from_a_global(),
        "partial": functools.partial(augmented, held.random),
        "default": lambda generator=held: model(X).mean() * generator.random(),
        "method": Batches(model).loss,
        "inference mode": torch.inference_mode()(lambda: model(X).mean() * held.random()),
    }


@ARITHMETICS
@pytest.mark.parametrize("how", closures_that_draw(nn.Linear(4, 1).double()))
def test_generators_of_a_closure_start_both_evaluations_in_the_same_state(how, arithmetic):
    """The loss is linear in one factor, so g0 would be enormous if the factors differed."""
    model = fill(nn.Linear(4, 1), torch.float64)
    opt = MeZO(model, lr=0.0, eps=1e-6, arithmetic=arithmetic)
    for _ in range(2):
        assert abs(opt.step(zo_loss=closures_that_draw(model)[how]).projected_grad.item()) < 100


def test_generators_that_a_forward_refers_to_start_both_evaluations_in_the_same_state():
    model = fill(DrawsFromAGlobal(4, 1), torch.float64)
    opt = MeZO(model, lr=0.0, eps=1e-6)
    assert abs(opt.step(zo_loss=lambda: model(X).mean()).projected_grad.item()) < 100
