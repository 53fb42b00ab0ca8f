"""Tests of whole steps with the fused kernels, which triton's interpreter runs on CPU tensors."""

import math
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from addax import fused_update, noise
from addax.addax import Addax
from addax.backward import _Coefficients
from addax.kernels import launch
from addax.loss_scale import LossScale
from addax.rounding import RealizedFraction
from addax.small_tensors import KeptNoise
from addax.update import Step
from baselines.ip_sgd import IPSGD
from baselines.mezo import MeZO
from baselines.mezo_svrg import MeZOSVRG
from tests.addax.kernels.interpreter import kernels_on_cpu
from tests.numerics.oracle import CPU, MLP, TIED

LR = 0.125


@pytest.fixture(autouse=True)
def fused(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Draw and apply every step on the CPU with the kernels, as on a CUDA device."""
    monkeypatch.setattr(noise, "uses_kernels", lambda device: True)
    monkeypatch.setattr(noise, "on_cpu", lambda device: False)
    monkeypatch.setattr(launch, "WIDTH", 512)
    with kernels_on_cpu():
        yield


@pytest.fixture
def launches(monkeypatch):
    """Return a list that every launch of a kernel extends by its name."""
    names, start = [], launch.launch

    def counted(kernel, *args, **kwargs):
        names.append(kernel.fn.__name__.strip("_"))
        start(kernel, *args, **kwargs)

    monkeypatch.setattr(launch, "launch", counted)
    return names


def drawn(opt, seed):
    """Return z of every parameter in float64."""
    return {p: noise.draw(seed, i, p.shape, CPU, opt.direction).double() for p, i in opt.indices.items()}


def values(model):
    """Return copies of the parameters in float64."""
    return {p: p.detach().double().clone() for p in model.parameters()}


@pytest.mark.parametrize("kind", noise.DIRECTIONS)
@pytest.mark.parametrize("sizes", ["small", "large"])
def test_a_mezo_step_follows_the_formula(kind, sizes, monkeypatch):
    if sizes == "large":
        monkeypatch.setattr("addax.small_tensors.SMALL_ON_GPU", 0)
    model = TIED.build(torch.float32)
    opt = MeZO(model, lr=LR, eps=1e-2, direction=kind)
    before, z = values(model), drawn(opt, opt.step_seed())
    shifted = []
    for sign in (1, -1):
        other = TIED.build(torch.float64)
        with torch.no_grad():
            for p, q in zip(other.parameters(), model.parameters(), strict=True):
                p.copy_(before[q] + sign * 1e-2 * z[q])
        shifted.append(TIED.loss(other, 0).item())
    g0 = (shifted[0] - shifted[1]) / 2e-2
    stats = opt.step(zo_loss=TIED.closure(model, 0))
    assert stats.projected_grad.item() == pytest.approx(g0, rel=1e-3, abs=1e-5)
    for p in model.parameters():
        torch.testing.assert_close(p.double(), before[p] - LR * stats.projected_grad.item() * z[p])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16], ids=str)
def test_an_addax_step_follows_the_formula(dtype, monkeypatch):
    monkeypatch.setattr(LossScale, "INITIAL", 1.0)
    model = MLP.build(dtype)
    opt = Addax(model, lr=LR, alpha=0.5, rounding="nearest", direction="rademacher")
    twin = MLP.build(torch.float64)
    MLP.loss(twin, 1).backward()
    before, z = values(model), drawn(opt, opt.step_seed())
    stats = opt.step(zo_loss=MLP.closure(model, 0), fo_loss=MLP.closure(model, 1))
    slope = LR * 0.5 * stats.projected_grad.item()
    tolerance = {torch.bfloat16: 2e-2, torch.float16: 2e-3}.get(dtype, 1e-6)
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        expected = before[p] - slope * z[p] - LR * 0.5 * q.grad
        torch.testing.assert_close(p.double(), expected, rtol=tolerance, atol=tolerance)
    assert int(stats.masked_gradients) == 0


def test_all_small_tensors_take_one_launch_and_each_large_one_takes_its_own(launches, monkeypatch):
    model = MLP.build(torch.float32)
    tensors = len(list(model.parameters()))
    closure = MLP.closure(model, 0)
    MeZO(model, lr=LR).step(zo_loss=closure)
    assert launches == ["perturb_table", "perturb_table", "update_table"]
    launches.clear()
    monkeypatch.setattr("addax.small_tensors.SMALL_ON_GPU", 0)
    monkeypatch.setattr(launch, "SMALL", 0)
    MeZO(model, lr=LR).step(zo_loss=closure)
    assert launches == ["perturb_one"] * 2 * tensors + ["update_one"] * tensors
    launches.clear()
    IPSGD(model, lr=LR).step(fo_loss=closure)
    assert launches == ["update_one"] * tensors


def test_mezo_svrg_takes_both_kinds_of_step():
    model = MLP.build(torch.bfloat16)
    opt = MeZOSVRG(model, lr=LR)
    closures = {"full_loss": MLP.closure(model, 0), "zo_loss": MLP.closure(model, 1)}
    for _ in range(3):
        before = values(model)
        assert not opt.step(**closures).skipped
        assert any(not torch.equal(p.double(), before[p]) for p in model.parameters())


def test_elements_whose_gradient_is_not_finite_do_not_move():
    layer = nn.Linear(3, 2)
    opt = IPSGD(layer, lr=LR)
    before = values(layer)
    x = torch.tensor([[1.0, math.nan, 2.0]])

    def loss():
        # The output is NaN. Its gradient of 0 makes that of one column NaN.
        return torch.nan_to_num(layer(x)).sum() + layer.weight.sum() + layer.bias.sum()

    stats = opt.step(fo_loss=loss)
    moved = {p: (p.double() != before[p]) for p in layer.parameters()}
    assert torch.isfinite(layer.weight).all()
    assert moved[layer.weight].tolist() == [[True, False, True]] * 2
    assert moved[layer.bias].all()
    assert (int(stats.masked_gradients), int(opt.masked_steps), bool(stats.skipped)) == (1, 1, False)


def test_a_step_that_is_not_finite_moves_nothing():
    model = MLP.build(torch.bfloat16)
    before = values(model)
    opt = MeZO(model, lr=LR)
    stats = opt.step(zo_loss=lambda: MLP.loss(model, 0) * math.nan)
    assert stats.skipped
    assert all(torch.equal(p.double(), before[p]) for p in model.parameters())


def test_a_state_of_the_kernels_does_not_continue_without_them(monkeypatch):
    model = MLP.build(torch.float32)
    opt = MeZO(model, lr=LR)
    assert opt.noise == "philox"
    fresh = opt.state_dict()
    opt.step(zo_loss=MLP.closure(model, 0))
    state = opt.state_dict()
    monkeypatch.setattr(noise, "uses_kernels", lambda device: False)
    other = MeZO(MLP.build(torch.float32), lr=LR)
    with pytest.raises(ValueError, match="'philox', and this device draws other noise, 'torch': continue on"):
        other.load_state_dict(state)
    assert other.steps == 0
    other.load_state_dict(fresh)


def test_the_fallback_to_torch_is_announced_once(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(noise, "unavailable", lambda device: "triton is missing: ModuleNotFoundError")
    noise._can_run_kernels.cache_clear()
    device = torch.device("cuda", 7)
    with pytest.warns(UserWarning, match="steps on cuda:7 use torch operators.*triton is missing") as caught:
        used = [noise.uses_kernels(device) for _ in range(2)]
    assert used == [False, False]
    assert len(caught) == 1
    assert noise.implementation(CPU) == "torch"


@pytest.mark.parametrize("rounding", ["stochastic", "nearest"])
def test_a_measured_step_is_an_ordinary_step(rounding):
    """The realized fraction is measured around the kernel, and does not change what the step does."""
    measured, plain = (MLP.build(torch.bfloat16) for _ in range(2))
    options = {"lr": LR, "alpha": 0.5, "rounding": rounding, "direction": "rademacher"}
    first, second = Addax(measured, **options), Addax(plain, **options)
    # Both take the step with number 1, which only the first one measures.
    first.MEASURE_EVERY = 1
    first.steps = second.steps = 1
    stats = [
        opt.step(zo_loss=MLP.closure(model, 0), fo_loss=MLP.closure(model, 1))
        for opt, model in ((first, measured), (second, plain))
    ]
    assert stats[1].realized_fraction is None
    assert 0.3 < stats[0].realized_fraction.item() < 2
    assert all(torch.equal(p, q) for p, q in zip(measured.parameters(), plain.parameters(), strict=True))


@pytest.mark.parametrize("sizes", ["small", "large"])
def test_a_measured_step_copies_few_elements_of_each_parameter(sizes, monkeypatch):
    if sizes == "large":
        monkeypatch.setattr("addax.small_tensors.SMALL_ON_GPU", 0)
    monkeypatch.setattr(fused_update, "MEASURED", 12)
    added = []
    monkeypatch.setattr(RealizedFraction, "add", lambda self, *of: added.append(of))
    model = nn.Sequential(*(nn.Linear(5, 5, bias=k > 0) for k in range(3))).bfloat16()
    opt = MeZO(model, lr=LR)
    start = {index: p.detach().float().flatten() for p, index in opt.indices.items()}
    z = {opt.indices[p]: values.float().flatten() for p, values in drawn(opt, opt.step_seed()).items()}
    stats = opt.step(zo_loss=lambda: model(torch.ones(1, 5, dtype=torch.bfloat16)).float().square().mean())
    after = {index: p.detach().float().flatten() for p, index in opt.indices.items()}
    # A weight has 25 elements, and a bias 5.
    assert [(index, block, len(old)) for index, block, old, *_ in added] == [
        (0, 0, 12), (1, 0, 12), (2, 0, 5), (3, 0, 12), (4, 0, 5),
    ]  # fmt: skip
    for index, _, old, intended, new in added:
        assert torch.equal(old, start[index][: len(old)])
        assert torch.equal(new, after[index][: len(new)])
        torch.testing.assert_close(intended, old - LR * stats.projected_grad * z[index][: len(old)])


def test_a_loss_that_is_not_finite_moves_no_parameter_on_a_cpu_either(monkeypatch):
    """A model may have layers on a CPU although its loss is on another device."""
    step = Step(0, draws=KeptNoise({}, "normal"))
    pair = [(1.0, torch.tensor(math.nan), 3)]
    coefficients = _Coefficients(step, pair, torch.tensor(False), 1.0)
    monkeypatch.setattr(noise, "on_cpu", lambda device: True)
    found = coefficients.step(CPU, LR)
    assert (found.directions[0][0], found.gradient) == (0.0, 0.0)
