"""Tests that compiled models are evaluated at theta + eps z, whatever torch compiled and whenever it did."""

import pytest
import torch
from torch import nn

from addax import Addax
from baselines.mezo import MeZO
from tests.numerics.oracle import Dense, Problem, fill, generator

X = torch.randn(6, 5, generator=generator(0), dtype=torch.float64)
# This backend runs torch's compiler without generating code.
BACKEND = "aot_eager"


class Block(nn.Module):
    """A layer and a norm."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(5, 5)
        self.norm = nn.LayerNorm(5)

    def forward(self, x):
        """Map `(batch, 5)` to `(batch, 5)`."""
        return self.norm(torch.tanh(self.linear(x)))


class Net(nn.Module):
    """Two blocks and a head that is tied to the first block."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Block(), Block()])
        self.head = nn.Linear(5, 5)
        self.head.weight = self.blocks[0].linear.weight

    def forward(self, x):
        """Map `(batch, 5)` to `(batch, 5)`."""
        for block in self.blocks:
            x = block(x)
        return self.head(x)


def cubes(model):
    return (model(X.to(next(model.parameters()).dtype)).double() ** 3).mean()


def model_compile(model):
    model.compile(backend=BACKEND)
    return model, lambda: cubes(model)


def wrapped(model):
    compiled = torch.compile(model, backend=BACKEND)
    return compiled, lambda: cubes(compiled)


def wrapped_outside(model):
    compiled = torch.compile(model, backend=BACKEND)
    return model, lambda: cubes(compiled)


def blocks(model):
    for block in model.blocks:
        block.compile(backend=BACKEND)
    return model, lambda: cubes(model)


def wrapped_block(model):
    model.blocks[1] = torch.compile(model.blocks[1], backend=BACKEND)
    return model, lambda: cubes(model)


def closure(model):
    return model, torch.compile(lambda: cubes(model), backend=BACKEND)


def whole_graph(model):
    return model, torch.compile(lambda: cubes(model), backend=BACKEND, fullgraph=True)


def traced_block(model):
    model.blocks[1] = torch.jit.trace(model.blocks[1], X.to(model.head.bias.dtype))
    return model, lambda: cubes(model)


def scripted(model):
    model = torch.jit.script(nn.Sequential(model.blocks[0], model.blocks[1]))
    return model, lambda: cubes(model)


def two_blocks():
    return nn.Sequential(Block(), Block())


WAYS = [model_compile, wrapped, wrapped_outside, blocks, wrapped_block]
WAYS += [closure, whole_graph, traced_block, scripted]


@pytest.fixture(autouse=True)
def _fresh_compiler():
    torch._dynamo.reset()


def oracle(build=Net) -> Dense:
    """Return the dense oracle of a model that is not compiled."""
    problem = Problem("net", lambda dtype: fill(build(), dtype), lambda model, _batch: cubes(model))
    return Dense(problem.build(torch.float64), problem)


def check_steps(opt, loss, dense, steps=3):
    """Take steps, and compare g0 of each step with the oracle, which takes the same steps."""
    for _ in range(steps):
        z = dense.z(opt.step_seed())
        expected = dense.g0(0, opt.eps, z)
        assert opt.step(zo_loss=loss).projected_grad.item() == pytest.approx(expected, rel=1e-7)
        dense.move(1e-2, {name: expected * z[name] for name in z})


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("used_before", [False, True])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_compiled_model_is_evaluated_at_theta_plus_eps_z(way, used_before):
    """Also if the compiled code existed before the method, so that it was compiled without hooks."""
    model, loss = way(fill(Net(), torch.float64))
    if used_before:
        with torch.no_grad():
            loss()
    check_steps(MeZO(model, lr=1e-2), loss, oracle(two_blocks if way is scripted else Net))
    assert all(type(p) is nn.Parameter for p in model.parameters())


def test_a_model_may_be_compiled_after_the_first_step():
    model, dense = fill(Net(), torch.float64), oracle()
    opt = MeZO(model, lr=1e-2)
    check_steps(opt, lambda: cubes(model), dense, steps=1)
    model.blocks[0].compile(backend=BACKEND)
    check_steps(opt, lambda: cubes(model), dense, steps=1)
    model.compile(backend=BACKEND)
    check_steps(opt, lambda: cubes(model), dense, steps=2)
    outside = torch.compile(lambda: cubes(model), backend=BACKEND)
    check_steps(opt, outside, dense, steps=1)
    check_steps(opt, lambda: cubes(model), dense, steps=1)


def test_the_compiled_code_of_a_step_is_reused():
    """A step neither recompiles the model nor leaves a trace in its call."""
    model, loss = model_compile(fill(Net(), torch.float64))
    call, opt = model._compiled_call_impl, MeZO(model, lr=1e-2)
    opt.step(zo_loss=loss)
    torch._dynamo.utils.counters.clear()
    with torch._dynamo.config.patch(error_on_recompile=True):
        for _ in range(3):
            opt.step(zo_loss=loss)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 0
    assert model._compiled_call_impl is call


@pytest.mark.parametrize(("way", "weights"), [(blocks, 5 * 5 + 3 * 5), (model_compile, 2 * 40 + 5)])
@pytest.mark.usefixtures("all_large")
def test_scratch_is_the_weights_of_the_compiled_module(way, weights):
    """Of blocks that are compiled one by one, only one is swapped in at a time."""
    model, loss = way(fill(Net(), torch.float64))
    model.head.weight = nn.Parameter(torch.eye(5).double())
    opt, most = MeZO(model, lr=1e-2), []
    swap, take = opt.perturbed_forward.swap, type(opt.perturbed_forward.swap)._swap_in

    def counted(p):
        take(swap, p)
        most.append(sum(s.parameter.numel() for s in swap._large if s.perturbed is not None))

    swap._swap_in = counted
    opt.step(zo_loss=loss)
    assert max(most) == weights + (25 if way is model_compile else 0)


def test_addax_trains_a_compiled_model_like_an_eager_one():
    eager, (model, loss) = fill(Net(), torch.float64), model_compile(fill(Net(), torch.float64))
    compiled, plain = (Addax(m, lr=1e-2, alpha=0.5) for m in (model, eager))
    for _ in range(3):
        compiled.step(zo_loss=loss, fo_loss=loss)
        plain.step(zo_loss=lambda: cubes(eager), fo_loss=lambda: cubes(eager))
    for p, q in zip(model.parameters(), eager.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-9, atol=1e-12)


class WithLoss(nn.Module):
    """A model that computes its loss in its own dtype, and may convert it afterward."""

    def __init__(self, convert: bool) -> None:
        super().__init__()
        self.net = Net()
        self.convert = convert

    def forward(self, x):
        """Map `(batch, 5)` to a scalar."""
        loss = self.net(x).square().mean()
        return loss.float() if self.convert else loss


@pytest.mark.parametrize("convert", [False, True])
@pytest.mark.parametrize("way", [model_compile, wrapped_outside, closure])
def test_a_16_bit_loss_that_was_compiled_is_rejected(way, convert):
    """The compiled code cannot be changed to compute the loss in float32."""
    model = fill(WithLoss(convert), torch.bfloat16)
    x = X.bfloat16()
    _, call = {
        model_compile: lambda: (model.compile(backend=BACKEND), model),
        wrapped_outside: lambda: (None, torch.compile(model, backend=BACKEND)),
        closure: lambda: (None, torch.compile(lambda x: model(x), backend=BACKEND)),
    }[way]()
    with pytest.raises(ValueError, match="computed in 16-bit"):
        MeZO(model, lr=0.0).step(zo_loss=lambda: call(x))


@pytest.mark.parametrize("way", [model_compile, wrapped_outside])
def test_a_loss_of_compiled_16_bit_logits_is_computed_in_float32(way):
    eager, (model, _) = fill(Net(), torch.bfloat16), way(fill(Net(), torch.bfloat16))
    x, target = X.bfloat16(), torch.arange(6) % 5
    own, right = MeZO(model, lr=0.0), MeZO(eager, lr=0.0)
    cross_entropy = nn.functional.cross_entropy
    g0 = own.step(zo_loss=lambda: cross_entropy(model(x), target)).projected_grad.item()
    expected = right.step(zo_loss=lambda: cross_entropy(eager(x).float(), target)).projected_grad.item()
    assert g0 == pytest.approx(expected, rel=1e-3)
