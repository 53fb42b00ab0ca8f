"""Tests that the optimizers of other packages follow their formulas, computed independently in float64."""

import math

import pytest
import torch
from torch import Tensor, nn

from baselines.third_party.adafactor import Adafactor
from baselines.third_party.adam8bit import Adam8bit
from baselines.third_party.muon import Muon, hidden_matrices
from baselines.third_party.schedule_free import ScheduleFree
from baselines.third_party.sgd_momentum import SGDMomentum
from tests.numerics.oracle import MLP, TIED, TiedLM
from tests.packages import NEEDS

STEPS, LR = 6, 1e-2


def gradients(points: list[Tensor], batch: int) -> list[Tensor]:
    """Return the gradient of the small problem at a point, which is a list of float64 tensors."""
    model = MLP.build(torch.float64)
    with torch.no_grad():
        for p, value in zip(model.parameters(), points, strict=True):
            p.copy_(value)
    MLP.loss(model, batch).backward()
    return [p.grad for p in model.parameters()]


def start() -> list[Tensor]:
    return [p.detach().clone() for p in MLP.build(torch.float64).parameters()]


def trained(cls: type, steps: int = STEPS, **settings) -> list[Tensor]:
    """Return the parameters after some steps of a method in float64."""
    model = MLP.build(torch.float64)
    opt = cls(model, lr=LR, **settings)
    for batch in range(steps):
        opt.step(fo_loss=MLP.closure(model, batch))
    return [p.detach() for p in model.parameters()]


def difference(found: list[Tensor], expected: list[Tensor]) -> float:
    return max((a - b).abs().max().item() for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_with_momentum_follows_its_formula(nesterov):
    theta, momentum, decay = start(), None, 0.1
    for batch in range(STEPS):
        grads = [g + decay * p for g, p in zip(gradients(theta, batch), theta, strict=True)]
        momentum = grads if momentum is None else [0.9 * b + g for b, g in zip(momentum, grads, strict=True)]
        moves = [g + 0.9 * b if nesterov else b for b, g in zip(momentum, grads, strict=True)]
        theta = [p - LR * move for p, move in zip(theta, moves, strict=True)]
    assert difference(trained(SGDMomentum, nesterov=nesterov, weight_decay=decay), theta) < 1e-12


def test_adafactor_follows_its_formula():
    """Most steps are clipped, because d = 1 is the root mean square of an update without momentum."""
    theta = start()
    rows, columns, full = {}, {}, {}
    for t in range(1, STEPS + 1):
        b = 1 - t**-0.8
        for k, g in enumerate(gradients(theta, t - 1)):
            square = g * g
            if g.ndim == 2:
                rows[k] = b * rows.get(k, 0) + (1 - b) * square.mean(1)
                columns[k] = b * columns.get(k, 0) + (1 - b) * square.mean(0)
                second = torch.outer(rows[k], columns[k]) / rows[k].mean()
            else:
                second = full[k] = b * full.get(k, 0) + (1 - b) * square
            update = g / second.clamp(min=torch.finfo(torch.float64).eps ** 2).sqrt()
            update = update / max(1.0, update.square().mean().sqrt().item())
            scale = max(1e-3, theta[k].square().mean().sqrt().item())
            theta[k] = theta[k] - scale * min(LR, 1 / math.sqrt(t)) * update
    assert difference(trained(Adafactor), theta) < 1e-12


def newton_schulz(x: Tensor) -> Tensor:
    """Return the orthogonalized matrix, with the coefficients of Muon and in float64."""
    transposed = x.shape[0] > x.shape[1]
    x = x.T if transposed else x
    x = x / x.norm()
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.775 * gram + 2.0315 * gram @ gram) @ x
    return x.T if transposed else x


def adamw(p: Tensor, state: dict, g: Tensor, lr: float, decay: float) -> Tensor:
    """Return the parameter after a step of AdamW."""
    state["t"] = t = state.get("t", 0) + 1
    state["m"] = 0.9 * state.get("m", 0) + 0.1 * g
    state["v"] = 0.999 * state.get("v", 0) + 0.001 * g * g
    step = (state["m"] / (1 - 0.9**t)) / ((state["v"] / (1 - 0.999**t)).sqrt() + 1e-8)
    return p * (1 - lr * decay) - lr * step


def test_muon_follows_its_formula_on_matrices_and_adamw_on_the_rest():
    """The loss is linear, with well-conditioned gradients, because torch orthogonalizes in bfloat16."""
    rng = torch.Generator().manual_seed(0)
    model = nn.Linear(12, 5).double()
    opt = Muon(model, lr=LR, adamw_lr=3e-3, weight_decay=0.1)
    weight, bias = model.weight.detach().clone(), model.bias.detach().clone()
    first, momentum, state = weight, 0.0, {}
    for _ in range(STEPS):
        g = torch.randn(5, 12, generator=rng, dtype=torch.float64)
        h = torch.randn(5, generator=rng, dtype=torch.float64)
        opt.step(fo_loss=lambda g=g, h=h: (g * model.weight).sum() + (h * model.bias).sum())
        momentum = momentum + 0.05 * (g - momentum)
        update = newton_schulz(g + 0.95 * (momentum - g))
        weight = weight * (1 - LR * 0.1) - LR * 0.2 * math.sqrt(12) * update
        bias = adamw(bias, state, h, 3e-3, 0.1)
    assert (model.weight - weight).norm() < 0.02 * (weight - first).norm()
    assert difference([model.bias], [bias]) < 1e-12


def test_muon_leaves_embeddings_and_the_output_head_to_adamw():
    model = TiedLM()
    assert [id(p) for p in hidden_matrices(model)] == [id(model.body.weight)]
    opt = Muon(model, lr=0.1, adamw_lr=0.2)
    assert [type(inner).__name__ for inner in opt.inner] == ["Muon", "AdamW"]
    rates = {id(p): group["lr"] for group in opt.param_groups for p in group["params"]}
    assert {name: rates[id(p)] for name, p in model.named_parameters()} == {
        "embed.weight": 0.2, "body.weight": 0.1, "body.bias": 0.2
    }  # fmt: skip


def test_muon_counts_everything_outside_of_the_base_of_a_model_as_its_head():
    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.base_model, self.score = nn.Linear(4, 4), nn.Linear(4, 2)

    model = Classifier()
    assert [id(p) for p in hidden_matrices(model)] == [id(model.base_model.weight)]


@NEEDS["schedule-free"]
@pytest.mark.parametrize("warmup", [0, 4])
def test_schedule_free_follows_its_formula(warmup):
    """The parameters hold y between steps, and the average x inside `evaluation_weights`."""
    model = MLP.build(torch.float64)
    opt = ScheduleFree(model, lr=LR, weight_decay=0.1, warmup_steps=warmup)
    z, x, v, weights = start(), start(), [0.0] * len(start()), 0.0
    for t in range(1, STEPS + 1):
        opt.step(fo_loss=MLP.closure(model, t - 1))
        y = [0.1 * a + 0.9 * b for a, b in zip(z, x, strict=True)]
        lr = LR * min(1.0, t / warmup if warmup else 1.0)
        weights += lr**2
        for k, g in enumerate(gradients(y, t - 1)):
            v[k] = 0.999 * v[k] + 0.001 * g * g
            step = g / ((v[k] / (1 - 0.999**t)).sqrt() + 1e-8) + 0.1 * y[k]
            z[k] = z[k] - lr * step
            x[k] = x[k] + lr**2 / weights * (z[k] - x[k])
    y = [0.1 * a + 0.9 * b for a, b in zip(z, x, strict=True)]
    assert difference(list(model.parameters()), y) < 1e-12
    assert difference(x, y) > 1e-4
    before = [p.detach().clone() for p in model.parameters()]
    with opt.evaluation_weights():
        assert difference(list(model.parameters()), x) < 1e-12
    assert difference(list(model.parameters()), before) == 0


@NEEDS["adam8bit"]
def test_adam_8bit_follows_adam_where_it_quantizes_nothing():
    """The moments of small parameters are in float32."""
    theta, states = start(), {}
    for batch in range(STEPS):
        grads = gradients(theta, batch)
        theta = [adamw(p, states.setdefault(k, {}), grads[k], LR, 0.0) for k, p in enumerate(theta)]
    model = MLP.build(torch.float32)
    opt = Adam8bit(model, lr=LR)
    for batch in range(STEPS):
        opt.step(fo_loss=MLP.closure(model, batch))
    assert difference([p.double() for p in model.parameters()], theta) < 1e-5


@NEEDS["adam8bit"]
def test_adam_8bit_stores_moments_in_8_bits_relative_to_the_maximum_of_their_block():
    rng = torch.Generator().manual_seed(0)
    model = nn.Linear(128, 64, bias=False)
    inputs = torch.randn(4, 128, generator=rng)
    opt = Adam8bit(model, lr=LR)
    before = model.weight.detach().clone()
    (grad,) = torch.autograd.grad(model(inputs).square().sum(), model.weight)
    opt.step(fo_loss=lambda: model(inputs).square().sum())
    state = opt.state[model.weight]
    for name, exact in (("1", 0.1 * grad), ("2", 0.001 * grad.square())):
        codes, largest = state[f"state{name}"], state[f"absmax{name}"]
        assert codes.dtype == torch.uint8
        blocks = exact.double().reshape(-1, 256)
        assert torch.allclose(largest.double(), blocks.abs().amax(1), rtol=1e-5)
        stored = state[f"qmap{name}"].double()[codes.long()].reshape(-1, 256) * largest.double()[:, None]
        # Values near the maximum have steps of 1/64 of it; values near zero have much smaller ones.
        assert ((stored - blocks).abs() <= largest.double()[:, None] / 64).all()
        assert (stored - blocks).abs().median() < 0.02 * blocks.abs().median()
    # The first update uses the moments before they are quantized, so it is lr times the sign.
    assert torch.allclose(before - model.weight.detach(), LR * grad.sign(), atol=1e-4)


@pytest.mark.parametrize("cls", [SGDMomentum, Adafactor, Muon])
def test_a_step_with_a_gradient_that_is_not_finite_is_skipped_and_counted(cls):
    model = TIED.build(torch.float32)
    opt = cls(model, lr=LR)
    opt.step(fo_loss=TIED.closure(model, 0))
    before = [p.detach().clone() for p in model.parameters()]
    state = [t.clone() for inner in opt.inner for e in inner.state.values() for t in e.values()]
    stats = opt.step(fo_loss=lambda: (model.body.weight.sum() * 0).sqrt() + TIED.loss(model, 1))
    assert stats.loss.isfinite()
    assert stats.skipped
    assert stats.masked_gradients == 1
    assert (opt.skipped_steps, opt.consecutive_skips, opt.steps) == (1, 1, 2)
    after = [t for inner in opt.inner for e in inner.state.values() for t in e.values()]
    assert all(map(torch.equal, [*before, *state], [*model.parameters(), *after]))
    assert not opt.step(fo_loss=TIED.closure(model, 2)).skipped
    assert opt.consecutive_skips == 0


@pytest.mark.parametrize("cls", [SGDMomentum, Adafactor, Muon])
def test_float16_gradients_that_overflow_lower_the_loss_scale(cls):
    model = MLP.build(torch.float16)
    opt = cls(model, lr=1e-3)
    skipped = [bool(opt.step(fo_loss=lambda: 30 * MLP.loss(model, 0)).skipped) for _ in range(20)]
    assert skipped[0]
    assert not any(skipped[-5:])
    assert opt.loss_scale.scale < opt.loss_scale.INITIAL
    assert all(p.isfinite().all() for p in model.parameters())


def test_groups_and_schedulers_reach_the_inner_optimizers():
    model = MLP.build(torch.float64)
    first, *others = model.parameters()
    opt = Muon(model, lr=LR, params=[{"params": [first], "lr": 0.0}, {"params": others}])
    schedule = torch.optim.lr_scheduler.LambdaLR(opt, lambda step: 0.5**step)
    before = [p.detach().clone() for p in model.parameters()]
    opt.step(fo_loss=MLP.closure(model, 0))
    schedule.step()
    moved = [not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True)]
    assert moved == [False] + [True] * len(others)
    assert [group["lr"] for inner in opt.inner for group in inner.param_groups] == [0.0, LR / 2, LR / 2]
    with pytest.raises(ValueError, match="would ignore 'momentun'"):
        Muon(model, lr=LR, params=[{"params": list(model.parameters()), "momentun": 0.5}])
