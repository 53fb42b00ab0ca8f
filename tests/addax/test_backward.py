"""Tests of in-place updates: how many gradients are alive during a step, and which parameters change."""

import weakref

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from addax import Addax
from baselines.adam import Adam
from baselines.ip_sgd import IPSGD
from baselines.sgd import SGD
from tests.numerics.oracle import MLP, OPT, TIED, Dense, bits, distance, fill, generator

PROBLEMS = pytest.mark.parametrize("problem", [MLP, TIED, OPT], ids=lambda p: p.name)


class Alive:
    """A counter of the gradients that are alive whenever a new gradient is complete."""

    def __init__(self, model: nn.Module) -> None:
        self.memory: list[weakref.ref] = []
        self.most = 0
        self.seen = 0
        for p in model.parameters():
            p.register_hook(self.arrived)

    def arrived(self, grad: torch.Tensor) -> None:
        """Record a new gradient and count the gradients that are alive."""
        self.memory.append(weakref.ref(grad.untyped_storage()))
        self.seen += 1
        self.most = max(self.most, sum(ref() is not None for ref in self.memory))


def first_order(opt, problem, model, k=0):
    """Take one step with all closures of the method."""
    return opt.step(**{name: problem.closure(model, k) for name in opt.closures})


@PROBLEMS
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize(
    "make", [lambda m: Addax(m, lr=0.01, alpha=0.3), lambda m: IPSGD(m, lr=0.01)], ids=["addax", "ip-sgd"]
)
def test_an_in_place_step_holds_at_most_one_gradient(make, dtype, problem):
    model = problem.build(dtype)
    opt, alive = make(model), Alive(model)
    first_order(opt, problem, model)
    assert alive.seen == len(list(model.parameters()))
    assert alive.most == 1
    assert all(p.grad is None for p in model.parameters())
    assert all(ref() is None for ref in alive.memory)


@PROBLEMS
@pytest.mark.parametrize("method", [SGD, Adam])
def test_a_step_that_is_not_in_place_holds_all_gradients(method, problem):
    """This also shows that the counter can find more than one gradient."""
    model = problem.build(torch.float32)
    opt, alive = method(model, lr=0.01), Alive(model)
    first_order(opt, problem, model)
    assert alive.most == alive.seen == len(list(model.parameters()))
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("method", [Addax, IPSGD, SGD, Adam])
def test_a_gradient_from_before_the_step_is_rejected(method):
    model = MLP.build(torch.float32)
    opt = method(model, lr=0.01)
    MLP.loss(model, 0).backward()
    before, grads = bits(model), [p.grad.clone() for p in model.parameters()]
    with pytest.raises(ValueError, match=r"'0\.weight' already has a gradient"):
        opt.step(fo_loss=MLP.closure(model, 1))
    assert bits(model) == before
    assert opt.steps == 0
    assert all(torch.equal(p.grad, g) for p, g in zip(model.parameters(), grads, strict=True))


@pytest.mark.parametrize("method", [Addax, IPSGD, SGD, Adam])
def test_no_hook_remains_after_a_step(method):
    """A plain backward pass leaves plain gradients, even after a step whose backward pass failed."""
    model = MLP.build(torch.float32)
    opt = method(model, lr=0.01)

    def broken():
        loss = MLP.loss(model, 0)
        loss.register_hook(lambda _grad: (_ for _ in ()).throw(RuntimeError("broken backward")))
        return loss

    opt.step(fo_loss=MLP.closure(model, 0))
    before = bits(model)
    with pytest.raises(RuntimeError, match="broken backward"):
        opt.step(fo_loss=broken)
    assert bits(model) == before
    MLP.loss(model, 0).backward()
    assert all(p.grad is not None for p in model.parameters())
    assert bits(model) == before


class TwoBranches(nn.Module):
    """A model with two layers. A loss uses only one of them."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 1)
        self.second = nn.Linear(4, 1)

    def forward(self, x, branch):
        """Map `(batch, 4)` to `(batch, 1)`."""
        return (self.first if branch == 0 else self.second)(x)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_parameters_that_the_loss_did_not_reach_get_their_zeroth_order_part(dtype):
    model = fill(TwoBranches(), dtype)
    x = torch.randn(8, 4, generator=generator(2)).to(dtype)
    before = [p.detach().clone() for p in model.second.parameters()]
    opt = Addax(model, lr=0.5, alpha=0.5)
    opt.step(zo_loss=lambda: model(x, 1).double().mean(), fo_loss=lambda: model(x, 0).double().mean())
    moved = [p.detach() - b for p, b in zip(model.second.parameters(), before, strict=True)]
    assert all(m.abs().max() > 0 for m in moved)
    if dtype == torch.float64:
        model = fill(TwoBranches(), dtype)
        opt = Addax(model, lr=0.25, alpha=1.0)
        opt.step(zo_loss=lambda: model(x, 1).mean())
        for p, b, m in zip(model.second.parameters(), before, moved, strict=True):
            torch.testing.assert_close(p.detach() - b, m, rtol=0, atol=1e-13)


@pytest.mark.parametrize("options", [{"arithmetic": "exact"}, {"arithmetic": "released"}, None], ids=str)
def test_sparse_gradients_are_those_of_the_dense_embedding(options):
    ends = []
    for sparse in (False, True):
        model = fill(nn.Sequential(nn.Embedding(6, 3, sparse=sparse), nn.Linear(3, 1)), torch.float32)
        opt = SGD(model, lr=0.1) if options is None else Addax(model, lr=0.1, **options)
        opt.step(fo_loss=lambda model=model: model(torch.tensor([1, 4, 4])).pow(2).mean())
        ends.append(bits(model))
    assert ends[0] == ends[1]


@pytest.mark.parametrize("method", [IPSGD, SGD])
@pytest.mark.parametrize("reentrant", [False, True])
def test_a_layer_shared_by_reentrant_checkpoints_is_rejected(reentrant, method):
    """A layer that runs in two checkpoints is updated once, after both gradients are added.

    Reentrant checkpoints are rejected, because they back-propagate one by one and complete the gradient
    twice.
    """
    layer = fill(nn.Linear(5, 5), torch.float64)
    x = torch.randn(3, 5, generator=generator(2), dtype=torch.float64).requires_grad_()

    class Shared:
        closure = staticmethod(lambda model, _batch: lambda: Shared.loss(model, 0))

        @staticmethod
        def loss(model, _batch):
            h = x
            for _ in range(2):
                h = checkpoint(lambda t: torch.tanh(model(t)), h, use_reentrant=False)
            return h.pow(2).mean()

    def loss():
        h = x
        for _ in range(2):
            h = checkpoint(lambda t: torch.tanh(layer(t)), h, use_reentrant=reentrant)
        return h.pow(2).mean()

    dense, opt = Dense(layer, Shared), method(layer, lr=0.1)
    if reentrant:
        with pytest.raises(ValueError, match=r"'(weight|bias)' got a second gradient.*use_reentrant=False"):
            opt.step(fo_loss=loss)
        assert all(p.grad is None for p in layer.parameters())
        return
    opt.step(fo_loss=loss)
    dense.move(0.1, dense.grad(0))
    assert distance(layer, dense) < 1e-12
