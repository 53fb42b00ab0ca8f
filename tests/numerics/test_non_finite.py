"""Tests that non-finite losses skip the step and are counted, and that float16 overflows are masked."""

import math

import pytest
import torch
from torch import nn

from addax import Addax
from baselines.adam import Adam
from baselines.ip_sgd import IPSGD
from baselines.mezo import MeZO
from baselines.mezo_svrg import MeZOSVRG
from baselines.sgd import SGD
from tests.numerics.oracle import DTYPES, MLP, bits

MAKE = {
    "addax": lambda m: Addax(m, lr=1e-2, alpha=0.5),
    "mezo": lambda m: MeZO(m, lr=1e-2),
    "mezo-svrg": lambda m: MeZOSVRG(m, lr=1e-2),
    "ip-sgd": lambda m: IPSGD(m, lr=1e-2),
    "sgd": lambda m: SGD(m, lr=1e-2),
    "adam": lambda m: Adam(m, lr=1e-2),
}
EACH = [(method, name) for method, make in MAKE.items() for name in make(nn.Linear(1, 1)).closures]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("method", "name"), EACH)
def test_a_non_finite_loss_changes_no_parameter(method, name, dtype, bad):
    """Take two bad steps, then a good one. For MeZO-SVRG, a good full-batch step comes first."""
    model = MLP.build(dtype)
    opt = MAKE[method](model)
    good = {n: MLP.closure(model, 0) for n in opt.closures}
    broken = good | {name: lambda: MLP.loss(model, 0) * bad}
    if method == "mezo-svrg":
        opt.anchor_every = 1 if name == "full_loss" else 10
        opt.step(**good)
    steps_before = opt.steps
    for k in (1, 2):
        before = bits(model)
        stats = opt.step(**broken)
        assert bits(model) == before
        assert bool(stats.skipped)
        assert (int(opt.skipped_steps), int(opt.consecutive_skips), opt.steps) == (k, k, steps_before + k)
        assert all(p.grad is None for p in model.parameters())
    stats = opt.step(**good)
    assert bits(model) != before
    assert not bool(stats.skipped)
    assert (int(opt.skipped_steps), int(opt.consecutive_skips), opt.steps) == (2, 0, steps_before + 3)
    assert all(torch.isfinite(p).all() for p in model.parameters())


@pytest.mark.parametrize("evaluation", [1, 2])
def test_one_non_finite_evaluation_of_two_skips_the_step(evaluation):
    model = MLP.build(torch.float32)
    opt = Addax(model, lr=1e-2, alpha=0.5)
    calls, before = [], bits(model)

    def zo():
        calls.append(None)
        return MLP.loss(model, 0) * (math.inf if len(calls) == evaluation else 1)

    stats = opt.step(zo_loss=zo, fo_loss=MLP.closure(model, 1))
    assert bool(stats.skipped)
    assert math.isfinite(stats.loss.item())
    assert bits(model) == before


def test_adam_does_not_count_a_skipped_step():
    """A skipped step changes neither the moments nor the bias correction."""
    models = [MLP.build(torch.float32) for _ in range(2)]
    opts = [Adam(m, lr=0.01) for m in models]
    for k in range(3):
        opts[0].step(fo_loss=MLP.closure(models[0], k))
        opts[1].step(fo_loss=MLP.closure(models[1], k))
        opts[1].step(fo_loss=lambda: MLP.loss(models[1], 0) * math.nan)
    assert bits(models[0]) == bits(models[1])


def test_a_skipped_step_reports_its_forwards_and_backwards():
    model = MLP.build(torch.float32)
    stats = IPSGD(model, lr=0.01).step(fo_loss=lambda: MLP.loss(model, 0) * math.nan)
    assert (stats.forwards, stats.backwards) == (1, 0)


class Pair(nn.Module):
    """A model of two float16 tensors with gradients of different magnitude."""

    def __init__(self) -> None:
        super().__init__()
        self.small = nn.Parameter(torch.ones(4, dtype=torch.float16))
        self.large = nn.Parameter(torch.ones(4, dtype=torch.float16))

    def forward(self) -> torch.Tensor:
        """Return a loss whose gradient is 0.5 for each element of `small` and 10 for those of `large`."""
        return self.small.float().sum() * 0.5 + self.large.float().sum() * 10


@pytest.mark.parametrize("method", [IPSGD, SGD])
def test_an_overflow_masks_its_tensor_and_lowers_the_scale(method):
    """A gradient of 10 x 2^15 overflows float16, and 10 x 2^12 does not."""
    model = Pair()
    opt = method(model, lr=0.125, rounding="nearest")
    for k in range(3):
        assert not bool(opt.step(fo_loss=model).skipped)
        assert model.large.tolist() == [1.0] * 4
        assert model.small.tolist() == [1.0 - 0.0625 * (k + 1)] * 4
        assert opt.loss_scale.scale.item() == 2.0 ** (14 - k)
        assert int(opt.loss_scale.overflows) == k + 1
    opt.step(fo_loss=model)
    assert model.large.tolist() == [1.0 - 1.25] * 4
    assert opt.loss_scale.scale.item() == 2.0**12
    assert int(opt.loss_scale.overflows) == 3


def test_an_overflow_masks_the_zeroth_order_part_too():
    model = Pair()
    opt = Addax(model, lr=1e-2, alpha=0.5)
    opt.step(zo_loss=model, fo_loss=model)
    assert model.large.tolist() == [1.0] * 4
    assert model.small.tolist() != [1.0] * 4


class Poison(torch.autograd.Function):
    """The identity, with one element of its gradient replaced."""

    @staticmethod
    def forward(ctx, x, bad):
        """Return x."""
        ctx.bad = bad
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        """Replace the first element of the gradient."""
        grad = grad.clone()
        grad.view(-1)[0] = ctx.bad
        return grad, None


def poisoned(model, names, bad):
    """Return a finite loss of which the gradients of some parameters are not finite."""
    total = 0
    for name, p in model.named_parameters():
        read = Poison.apply(p, bad) if name in names else p
        total = total + read.float().square().sum()
    return total


FIRST_ORDER = [name for name, closure in EACH if closure == "fo_loss"]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("method", FIRST_ORDER)
def test_a_gradient_that_is_not_finite_moves_no_weight_of_its_parameter(method, dtype, bad):
    """The loss is finite. Adam skips the whole step."""
    model = MLP.build(dtype)
    opt = MAKE[method](model)
    opt.loss_scale.scale = torch.tensor(1.0)
    first, *others = dict(model.named_parameters())
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    closures = {name: MLP.closure(model, 0) for name in opt.closures}
    closures["fo_loss"] = lambda: poisoned(model, {first}, bad)
    stats = opt.step(**closures)
    now = dict(model.named_parameters())
    assert torch.equal(now[first], before[first])
    assert all(torch.isfinite(p).all() for p in now.values())
    assert any(not torch.equal(now[name], before[name]) for name in others) == (method != "adam")
    assert (int(stats.masked_gradients), int(opt.masked_steps)) == (1, 1)
    assert bool(stats.skipped) == (method == "adam")


@pytest.mark.parametrize("method", ["ip-sgd", "sgd", "adam"])
def test_steps_without_any_finite_gradient_count_as_skipped(method):
    model = MLP.build(torch.bfloat16)
    opt = MAKE[method](model)
    before = bits(model)
    names = dict(model.named_parameters())
    for k in (1, 2):
        assert opt.step(fo_loss=lambda: poisoned(model, names, math.nan)).skipped
        assert (int(opt.consecutive_skips), int(opt.masked_steps)) == (k, k)
    assert bits(model) == before


def test_the_published_arithmetic_leaves_out_a_gradient_that_is_not_finite():
    model = MLP.build(torch.float32)
    opt = Addax(model, lr=1e-2, alpha=0.5, arithmetic="released")
    first = next(iter(dict(model.named_parameters())))
    stats = opt.step(zo_loss=MLP.closure(model, 0), fo_loss=lambda: poisoned(model, {first}, math.nan))
    assert all(torch.isfinite(p).all() for p in model.parameters())
    assert int(stats.masked_gradients) == 1
