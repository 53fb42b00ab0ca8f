"""Tests that weights that are read outside their modules are perturbed at every step, whatever reads them."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from baselines.mezo import MeZO
from tests.numerics.oracle import Dense, Problem, check_unmoved, fill, generator

pytestmark = pytest.mark.usefixtures("both_sizes")

X = torch.randn(4, 5, generator=generator(0), dtype=torch.float64)


class Pair(nn.Module):
    """Two layers and a norm, of which subclasses use the weights in unusual ways."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(5, 5)
        self.second = nn.Linear(5, 5)
        self.norm = nn.LayerNorm(5)

    def forward(self, x):
        """Map `(batch, 5)` to `(batch, 5)`."""
        return self.norm(torch.tanh(self.second(torch.tanh(self.first(x)))))


class ReadsChild(Pair):
    """A module that reads a child's weight and never calls the child, as DeBERTa-v3 and Mamba do."""

    def forward(self, x):
        """Map `(batch, 5)` to `(batch, 5)`."""
        return self.norm(F.linear(self.first(x), self.second.weight.t(), self.second.bias))


class CallsAndReadsChild(Pair):
    """A module that reads a child's weight before, between, and after calls of the child."""

    def forward(self, x):
        """Map `(batch, 5)` to `(batch, 5)`."""
        x = torch.tanh(self.second(x @ self.second.weight))
        return self.norm(self.second(x) @ self.second.weight + self.first.bias)


class Lends(nn.Module):
    """A module that returns its child's parameter, which others read after it has run."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(5, 5)

    def forward(self):
        """Return the child's weight, `(5, 5)`."""
        return self.inner.weight


class Borrows(nn.Module):
    """A model whose layers pass a parameter on to each other."""

    def __init__(self) -> None:
        super().__init__()
        self.lends = Lends()
        self.pair = Pair()

    def forward(self, x):
        """Map `(batch, 5)` to `(batch, 5)`."""
        weight = self.lends()
        return self.pair(x) @ weight @ self.lends().t()


class Force(Pair):
    """The gradient of an energy with respect to its input, whose backward pass reads weights again."""

    def forward(self, x):
        """Map `(batch, 5)` to `(batch, 5)`."""
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            return -torch.autograd.grad(super().forward(x).square().sum(), x)[0]


class Clamps(Pair):
    """A module that changes a child's weight in place, as Gemma 3n does. theta must not change."""

    def forward(self, x):
        """Map `(batch, 5)` to `(batch, 5)`."""
        self.second.weight.data.clamp_(-0.2, 0.2)
        return super().forward(x)


def cubes(model):
    return (model(X) ** 3).mean()


def penalty(model):
    return cubes(model) + sum(p.square().sum() for p in model.parameters()) / 10


def foreach(model):
    return cubes(model) + torch.stack(torch._foreach_norm(list(model.parameters()))).sum()


def direct_forward(model):
    return (model.forward(X) ** 3).mean()


def functional_call(model):
    weights = {name: p.detach() * 2 for name, p in model.named_parameters()}
    return (torch.func.functional_call(model, weights, (X,)) ** 3).mean()


def unrolled(model):
    h = X
    for _ in range(3):
        h = torch.tanh(F.linear(h, model.first.weight, model.first.bias))
    return (h**3).mean()


def gradient_penalty(model):
    with torch.enable_grad():
        x = X.clone().requires_grad_()
        (slope,) = torch.autograd.grad(model(x).square().sum(), x)
    return slope.square().sum()


def in_numpy(model):
    return cubes(model) + float((model.second.weight.detach().numpy() ** 2).sum())


def flat(model):
    return nn.utils.parameters_to_vector(model.parameters()).square().sum() + cubes(model)


CASES = [(build, cubes) for build in (ReadsChild, CallsAndReadsChild, Borrows, Force, Clamps)]
CASES += [
    (Pair, loss)
    for loss in (
        penalty, foreach, direct_forward, functional_call, unrolled, gradient_penalty, in_numpy, flat,
    )
]  # fmt: skip
OUTSIDE = pytest.mark.parametrize(
    ("build", "loss"), CASES, ids=lambda case: getattr(case, "__name__", str(case))
)


@OUTSIDE
def test_a_weight_that_is_read_outside_its_module_is_perturbed(build, loss):
    problem = Problem("outside", lambda dtype: fill(build(), dtype), lambda model, _batch: loss(model))
    model = problem.build(torch.float64)
    opt = MeZO(model, lr=1e-3)
    for _ in range(3):
        dense = Dense(model, problem)
        expected = dense.g0(0, 1e-3, dense.z(opt.step_seed()))
        check_unmoved(model, lambda: opt.estimate(lambda: loss(model)))
        assert opt.step(zo_loss=lambda: loss(model)).projected_grad.item() == pytest.approx(
            expected, rel=1e-8
        )


@pytest.mark.parametrize("later", [penalty, foreach, gradient_penalty, unrolled])
def test_a_read_that_begins_at_a_later_step_is_perturbed(later):
    model = fill(Pair(), torch.float64)
    opt = MeZO(model, lr=1e-3)
    for loss in (cubes, cubes, later, cubes, later):
        problem = Problem("later", lambda dtype: fill(Pair(), dtype), lambda m, _batch, loss=loss: loss(m))
        dense = Dense(model, problem)
        expected = dense.g0(0, 1e-3, dense.z(opt.step_seed()))
        g0 = opt.step(zo_loss=lambda loss=loss: loss(model)).projected_grad.item()
        assert g0 == pytest.approx(expected, rel=1e-8)


def test_parameters_have_their_own_class_outside_an_evaluation():
    """An error inside the closure changes nothing about this."""
    model = fill(Pair(), torch.float64)
    opt = MeZO(model, lr=1e-3)
    seen = []

    def loss():
        seen.append({type(p) for p in model.parameters()})
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        opt.step(zo_loss=loss)
    assert nn.Parameter not in seen[0]
    assert all(isinstance(p, nn.Parameter) and type(p) is nn.Parameter for p in model.parameters())


def swapped_in(opt):
    """Return the number of large parameters that are swapped in."""
    return sum(slot.perturbed is not None for slot in opt.perturbed_forward.swap._large)


def test_reading_shapes_swaps_nothing_in():
    """Scratch is one module's weights, although the closure looks at every parameter."""
    model = fill(Pair(), torch.float64)
    opt = MeZO(model, lr=1e-3)
    swapped = []

    def loss():
        for p in model.parameters():
            _ = p.shape, p.dtype, p.device, p.numel(), p.size(0), p.dim(), p.requires_grad, len(p), p.grad
            _ = torch.zeros_like(p), p.new_ones(2), torch.is_floating_point(p), p.is_contiguous()
        swapped.append(swapped_in(opt))
        return cubes(model)

    opt.step(zo_loss=loss)
    assert swapped == [0, 0]


def test_one_operator_outside_all_modules_needs_one_weight():
    """The closure's penalty reads one weight at a time, so scratch is one weight."""
    model = fill(Pair(), torch.float64)
    opt = MeZO(model, lr=1e-3)
    swapped = []

    def loss():
        total = 0
        for p in model.parameters():
            total = total + (p * p).sum()
            swapped.append(swapped_in(opt))
        return total

    opt.step(zo_loss=loss)
    assert set(swapped) == {0}


def test_a_copy_of_the_model_inside_the_closure_is_a_copy_of_the_perturbed_model():
    model = fill(Pair(), torch.float64)
    opt, plain = MeZO(model, lr=0.0, seed=3), MeZO(model, lr=0.0, seed=3)
    copied = []

    def loss():
        copied.append(copy.deepcopy(model))
        return cubes(copied[-1])

    assert opt.step(zo_loss=loss).projected_grad == plain.step(zo_loss=lambda: cubes(model)).projected_grad
    assert torch.isfinite(cubes(copied[0]))


def test_a_loss_of_another_model_is_rejected():
    """Such as a copy, whose losses would be equal, so that projected_grad would be 0."""
    model = fill(Pair(), torch.float64)
    other = copy.deepcopy(model)
    with pytest.raises(ValueError, match=r"does not read a trainable parameter .*a copied method"):
        MeZO(model, lr=0.0).step(zo_loss=lambda: cubes(other))
