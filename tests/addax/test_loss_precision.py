"""Tests that losses of 16-bit models are computed in float32, or rejected if that is impossible."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from addax.loss_precision import Float32Losses
from baselines.mezo import MeZO
from tests.numerics.oracle import MLP, Dense, generator

HALVES = pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
X = torch.randn(6, 5, generator=generator(0))
Y = torch.randint(0, 3, (6,), generator=generator(1))


def logits(model):
    return model(X.to(model[0].weight.dtype))


def upcast(model):
    """Return the loss as it should be computed."""
    return F.cross_entropy(logits(model).float(), Y)


LOSSES = {
    "functional": lambda m: F.cross_entropy(logits(m), Y),
    "module": lambda m: nn.CrossEntropyLoss()(logits(m), Y),
    "keywords": lambda m: F.cross_entropy(input=logits(m), target=Y),
    "log-softmax": lambda m: F.nll_loss(F.log_softmax(logits(m), dim=-1), Y),
    "method": lambda m: -logits(m).log_softmax(-1).gather(1, Y[:, None]).mean(),
    "by hand": lambda m: (logits(m).logsumexp(-1) - logits(m).gather(1, Y[:, None])[:, 0]).mean(),
    "sum": lambda m: F.cross_entropy(logits(m), Y, reduction="sum") / len(Y),
    "upcast mean": lambda m: F.cross_entropy(logits(m), Y, reduction="none").mean().float(),
    "upcast": upcast,
}


@HALVES
@pytest.mark.parametrize("how", LOSSES)
def test_a_loss_of_a_16_bit_model_is_computed_in_float32(how, dtype):
    """The result is that of a closure that upcasts the logits."""
    model = MLP.build(dtype)
    own, right = MeZO(model, lr=0.0, seed=1), MeZO(model, lr=0.0, seed=1)
    for _ in range(3):
        g0 = own.step(zo_loss=lambda: LOSSES[how](model)).projected_grad
        assert g0.dtype == torch.float32
        expected = right.step(zo_loss=lambda: upcast(model)).projected_grad
        assert g0.item() == pytest.approx(expected.item(), rel=1e-3)


@HALVES
def test_a_loss_function_of_squares_is_computed_in_float32(dtype):
    model = MLP.build(dtype)
    target = torch.ones(6, 3, dtype=dtype)
    opt, right = MeZO(model, lr=0.0, seed=1), MeZO(model, lr=0.0, seed=1)
    g0 = opt.step(zo_loss=lambda: F.mse_loss(logits(model), target)).projected_grad
    expected = right.step(zo_loss=lambda: (logits(model).float() - 1).square().mean()).projected_grad
    assert g0.item() == pytest.approx(expected.item(), rel=1e-3)


LOSSY = {
    "16-bit": lambda m: logits(m).abs().max(),
    "converted later": lambda m: logits(m).abs().max().float(),
    "converted with to": lambda m: upcast(m).to(logits(m).dtype).to(torch.float32),
    "through a number": lambda m: torch.tensor(upcast(m).to(logits(m).dtype).item()),
}


@HALVES
@pytest.mark.parametrize("how", LOSSY)
@pytest.mark.parametrize("arithmetic", ["exact", "released"])
def test_a_loss_that_was_rounded_to_16_bit_is_rejected(how, dtype, arithmetic):
    model = MLP.build(dtype)
    opt = MeZO(model, lr=0.0, arithmetic=arithmetic)
    with pytest.raises(ValueError, match=r"computed in 16-bit.*cross_entropy\(logits\.float\(\), labels\)"):
        opt.step(zo_loss=lambda: LOSSY[how](model))


@pytest.mark.parametrize("metric", [0.5, 0.0, -0.8125])
def test_a_metric_that_16_bit_represents_exactly_is_allowed(metric):
    model = MLP.build(torch.bfloat16)

    def f1():
        logits(model)
        return torch.tensor(metric)

    assert MeZO(model, lr=0.0).step(zo_loss=f1).projected_grad == 0


@pytest.mark.parametrize("convert", [False, True])
def test_a_float32_model_under_autocast_gives_the_loss_in_float32(convert):
    """Also if the closure hides the 16-bit loss by converting it."""
    model = MLP.build(torch.float32)

    def loss(upcast):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            out = model(X)
            value = (out.float() if upcast else out).log_softmax(-1).gather(1, Y[:, None]).mean()
            return value.float() if convert else value

    own, right = MeZO(model, lr=0.0, seed=1), MeZO(model, lr=0.0, seed=1)
    g0 = own.step(zo_loss=lambda: loss(False)).projected_grad.item()
    assert g0 == pytest.approx(right.step(zo_loss=lambda: loss(True)).projected_grad.item(), rel=1e-3)


def test_a_float16_loss_of_a_float32_model_is_computed_again_in_float32():
    """The second evaluation starts from the same generators as the first."""
    model = MLP.build(torch.float32)

    def loss(scale):
        noise = torch.randn(6, 3)
        return scale(logits(model) + noise)

    opt, right = MeZO(model, lr=0.0, seed=1), MeZO(model, lr=0.0, seed=1)
    with torch.random.fork_rng([]):
        torch.manual_seed(1)
        g0 = opt.step(zo_loss=lambda: loss(lambda x: F.cross_entropy(x.half(), Y))).projected_grad.item()
        torch.manual_seed(1)
        expected = right.step(
            zo_loss=lambda: loss(lambda x: F.cross_entropy(x.half().float(), Y))
        ).projected_grad.item()
    assert g0 == pytest.approx(expected, rel=1e-3)


def test_partial_sums_and_indices_keep_their_dtype():
    """Only losses are upcast: a model's own means along a dimension stay in 16-bit."""
    x = torch.ones(3, 4, dtype=torch.bfloat16)
    with Float32Losses():
        assert x.mean(-1).dtype == x.sum(0).dtype == torch.softmax(x, -1).dtype == torch.bfloat16
        assert x.mean().dtype == torch.sum(x).dtype == x[0].mean(0).dtype == torch.float32
        assert x.double().mean().dtype == torch.float64


def test_a_float64_oracle_agrees_with_a_float64_loss():
    model = MLP.build(torch.float64)
    dense, opt = Dense(model, MLP), MeZO(model, lr=1e-3)
    g0 = opt.estimate(MLP.closure(model, 0)).projected_grad
    assert g0.dtype == torch.float64
    assert g0.item() == pytest.approx(dense.g0(0, 1e-3, dense.z(opt.step_seed())), rel=1e-8)
