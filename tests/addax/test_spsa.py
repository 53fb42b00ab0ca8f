"""Tests that SPSA estimates are unbiased, leave parameters unchanged, and use one dropout mask."""

import pytest
import torch
from torch import nn

from addax import noise, seeds
from addax.addax import Addax
from addax.small_tensors import KeptNoise
from addax.spsa import PerturbedForward
from baselines.mezo import MeZO
from tests.numerics.oracle import CPU, DTYPES, MLP, OPT, TIED, check_unmoved, generator, opt_model

pytestmark = pytest.mark.usefixtures("both_sizes")

ALL = pytest.mark.parametrize("dtype", [*DTYPES, torch.float64], ids=str)


class Point(nn.Module):
    """A model that only has theta. Its forward returns a copy."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.randn(d, generator=generator(3), dtype=torch.float64))

    def forward(self) -> torch.Tensor:
        """Return theta, shape `(d,)`."""
        return self.theta * 1


def test_estimates_average_to_the_gradient():
    """E |mean - g|^2 = |g|^2 (d + 1) / N on a quadratic, for which the two-point estimate has no bias."""
    d, n = 12, 2000
    model = Point(d)
    half = torch.randn(d, d, generator=generator(4), dtype=torch.float64)
    curvature = half @ half.T
    slope = torch.randn(d, generator=generator(5), dtype=torch.float64)
    gradient = curvature @ model.theta.detach() + slope

    def loss():
        theta = model()
        return theta @ curvature @ theta / 2 + slope @ theta

    perturbation = PerturbedForward(model, KeptNoise({model.theta: 0}, "normal"))
    total = torch.zeros(d, dtype=torch.float64)
    for k in range(n):
        estimate = perturbation.estimate(loss, 1e-3, seeds.hash_seed(0, k))
        total += estimate.projected_grad * noise.draw(estimate.step_seed, 0, torch.Size([d]), CPU)
    error = ((total / n - gradient).norm() / gradient.norm()).item()
    assert error < 2 * ((d + 1) / n) ** 0.5
    # If the directions were not random, the error could be much smaller than predicted.
    assert error > 0.1 * ((d + 1) / n) ** 0.5


def test_one_estimate_is_the_directional_derivative():
    """On a linear loss, g0 equals <grad, z> exactly."""
    model = Point(7)
    slope = torch.randn(7, generator=generator(6), dtype=torch.float64)
    perturbed = PerturbedForward(model, KeptNoise({model.theta: 5}, "normal"))
    estimate = perturbed.estimate(lambda: slope @ model(), 1e-2, 77)
    z = noise.draw(77, 5, torch.Size([7]), CPU).double()
    torch.testing.assert_close(estimate.projected_grad, slope @ z, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(estimate.loss, slope @ model.theta.detach(), rtol=1e-12, atol=1e-12)


@ALL
@pytest.mark.parametrize("problem", [MLP, TIED, OPT], ids=lambda p: p.name)
def test_evaluation_leaves_parameters_bit_identical(problem, dtype):
    model = problem.build(dtype)
    opt = MeZO(model, lr=1e-3)
    seen = []
    check_unmoved(model, lambda: seen.append(opt.estimate(problem.closure(model, 0))))
    assert torch.isfinite(seen[0].projected_grad)
    assert seen[0].projected_grad != 0


@pytest.mark.filterwarnings("ignore:.gradient_checkpointing_enable:FutureWarning")
@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
@ALL
def test_evaluation_with_gradient_checkpointing_leaves_parameters_bit_identical(dtype):
    model = opt_model(dtype)
    model.gradient_checkpointing_enable({"use_reentrant": False})
    opt = Addax(model, lr=1e-3, alpha=0.5)
    check_unmoved(model, lambda: opt.estimate(OPT.closure(model, 0)))


@ALL
@pytest.mark.parametrize("evaluation", [1, 2])
@pytest.mark.parametrize("where", ["outside", "inside a module"])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_closure_that_raises_leaves_parameters_bit_identical(dtype, evaluation, where, error):
    model = MLP.build(dtype)
    opt = MeZO(model, lr=1e-3)
    calls = []
    if where == "inside a module":
        # Replace the activation, which runs between two modules that own parameters.
        model[1].forward = lambda x: stop(x)

    def stop(x):
        if len(calls) == evaluation:
            raise error("stop")
        return torch.tanh(x)

    def closure():
        calls.append(None)
        loss = MLP.loss(model, 0)
        return stop(loss)

    def run():
        with pytest.raises(error):
            opt.step(zo_loss=closure)

    check_unmoved(model, run)
    assert opt.steps == 0
    assert len(calls) == evaluation


@pytest.mark.parametrize("arithmetic", ["exact", "released"])
def test_both_evaluations_use_the_same_dropout_mask(arithmetic):
    """After the step, the generator is in the state that one evaluation leaves."""
    masks = []
    model = nn.Sequential(nn.Linear(5, 64), nn.Dropout(0.5), nn.Linear(64, 1)).train()
    model[1].register_forward_hook(lambda _m, _i, out: masks.append(out == 0))
    x = torch.ones(3, 5)
    opt = MeZO(model, lr=1e-3, arithmetic=arithmetic)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(8)
        model(x)
        after_one = torch.get_rng_state()
        torch.manual_seed(8)
        opt.step(zo_loss=lambda: model(x).mean())
        assert torch.equal(torch.get_rng_state(), after_one)
        opt.step(zo_loss=lambda: model(x).mean())
    alone, plus, minus, later, _ = masks
    assert torch.equal(plus, minus)
    assert torch.equal(alone, plus)
    assert not torch.equal(plus, later)


def test_exact_arithmetic_does_not_drift_and_released_does():
    """In bfloat16, the published moves do not cancel over a hundred steps at a learning rate of 0."""
    drift = {}
    for arithmetic in ("exact", "released"):
        model = MLP.build(torch.bfloat16)
        before = [p.detach().float().clone() for p in model.parameters()]
        opt = MeZO(model, lr=0.0, arithmetic=arithmetic)
        for _ in range(100):
            opt.step(zo_loss=MLP.closure(model, 0))
        now = [p.detach().float() for p in model.parameters()]
        drift[arithmetic] = sum((a - b).norm() for a, b in zip(now, before, strict=True)).item()
    assert drift["exact"] == 0
    assert drift["released"] > 1e-3
