"""Tests of the costs in module docstrings, by counting forwards, backwards, draws, and passes over theta."""

import ast
import re

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from addax import noise
from benchmarks.registry import files, module, path
from tests.numerics.oracle import MLP, OPT, TIED
from tests.packages import NEEDS

pytestmark = pytest.mark.usefixtures("all_large")

NUMBERS = {
    "forwards": r"(\d+) forwards?",
    "backwards": r"(\d+) backwards?",
    "draws": r"(\d+) draws? of z",
    "passes": r"(\d+) pass(?:es)? over theta",
}


def documented_cost(method: str) -> str:
    """Return the `Cost:` section of a method's module docstring on one line."""
    text = ast.get_docstring(ast.parse(path("method", method).read_text()))
    return " ".join(re.search(r"Cost:(.*?)(?:Memory:|$)", text, re.S).group(1).split())


def parse_cost(cost: str) -> dict[str, int]:
    """Return the numbers in a `Cost:` section; quantities that it does not state are missing."""
    matches = {name: re.search(pattern, cost) for name, pattern in NUMBERS.items()}
    return {name: int(m.group(1)) for name, m in matches.items() if m}


class Writes(TorchDispatchMode):
    """A counter of elements written into a model's parameters, in total and during backward passes."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.memory = {p.untyped_storage().data_ptr() for p in model.parameters()}
        self.elements = 0
        self.in_backward = 0
        self.backward = False

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Run an operation, and count the elements that it writes."""
        for argument, value in zip(func._schema.arguments, args, strict=False):
            if argument.alias_info is not None and argument.alias_info.is_write:
                for tensor in value if isinstance(value, list | tuple) else [value]:
                    # The value of an optional argument may be None.
                    if tensor is not None and tensor.untyped_storage().data_ptr() in self.memory:
                        self.elements += tensor.numel()
                        self.in_backward += tensor.numel() * self.backward
        return func(*args, **(kwargs or {}))


def measured(method: str, problem, monkeypatch, steps: int = 1, dtype=torch.bfloat16, **options):
    """Return the counts of each step, relative to the size of theta.

    In 16 bits, a pass over theta writes each element once, however many terms it adds.
    """
    model = problem.build(dtype)
    size = sum(p.numel() for p in model.parameters())
    built = module("method", method)
    opt = next(c for c in vars(built).values() if isinstance(c, type) and c.__module__ == built.__name__)(
        model, lr=1e-3, **options
    )
    count = {}
    direction, backward = noise.direction, torch.Tensor.backward
    writes = Writes(model)

    def counted_direction(step_seed, index, block, numel, *options):
        count["draws"] += numel / size
        return direction(step_seed, index, block, numel, *options)

    def counted_backward(tensor, *args, **kwargs):
        count["backwards"] += 1
        writes.backward = True
        backward(tensor, *args, **kwargs)
        writes.backward = False

    monkeypatch.setattr(noise, "direction", counted_direction)
    monkeypatch.setattr(torch.Tensor, "backward", counted_backward)

    def loss(name):
        count["forwards"] += 1
        count[name] = count.get(name, 0) + 1
        return problem.loss(model, 0)

    results = []
    for _ in range(steps):
        count.update(dict.fromkeys(NUMBERS, 0))
        for name in opt.closures:
            count.pop(name, None)
        writes.elements = writes.in_backward = 0
        with writes:
            stats = opt.step(**{name: lambda name=name: loss(name) for name in opt.closures})
        count["passes"] = writes.elements / size
        assert (stats.forwards, stats.backwards) == (count["forwards"], count["backwards"])
        results.append(count | {"in_backward": writes.in_backward / size})
    return results


METHODS = sorted((set(files("method")) | set(files("optimizer"))) - {"mezo-svrg", "muon"})


@pytest.mark.parametrize("method", [pytest.param(name, marks=NEEDS.get(name, ())) for name in METHODS])
def test_a_step_costs_what_the_module_docstring_states(method, monkeypatch):
    cost = documented_cost(method)
    documented = parse_cost(cost)
    assert set(documented) == set(NUMBERS), f"{method}: its Cost: line states {sorted(documented)} only"
    (measurements,) = measured(method, MLP, monkeypatch)
    assert {name: measurements[name] for name in NUMBERS} == pytest.approx(documented)
    during = 1 if "during the backward" in cost else 0
    assert measurements["in_backward"] == pytest.approx(during)


def test_a_step_of_muon_writes_its_matrices_twice_and_the_rest_once(monkeypatch):
    assert "2 passes over the matrices of theta, and 1 over the rest" in documented_cost("muon")
    (found,) = measured("muon", MLP, monkeypatch)
    model = MLP.build(torch.float32)
    matrices = sum(p.numel() for p in model.parameters() if p.ndim == 2)
    assert found["passes"] == pytest.approx(1 + matrices / sum(p.numel() for p in model.parameters()))
    assert (found["forwards"], found["backwards"], found["draws"], found["in_backward"]) == (1, 1, 0, 0)


@pytest.mark.parametrize("problem", [TIED, OPT], ids=lambda p: p.name)
@pytest.mark.parametrize("method", ["mezo", "addax"])
def test_a_tied_parameter_costs_no_extra_draws(method, problem, monkeypatch):
    (measurements,) = measured(method, problem, monkeypatch)
    assert measurements["draws"] == pytest.approx(3)


def test_a_tied_parameter_is_drawn_once_in_each_forward_of_a_closure(monkeypatch):
    """A closure may evaluate its batch in parts or call only the embedding."""
    model, drawn, direction = TIED.build(torch.float32), [], noise.direction
    monkeypatch.setattr(noise, "direction", lambda *a: drawn.append(a[1:4]) or direction(*a))
    opt = module("method", "mezo").MeZO(model, lr=1e-3)

    def closure():
        model.embed(torch.tensor([3]))
        return TIED.loss(model, 0) + TIED.loss(model, 1)

    opt.estimate(closure)
    embedding = (opt.indices[model.embed.weight], 0, model.embed.weight.numel())
    assert drawn.count(embedding) == 2 * 2
    assert torch.equal(model.embed.weight, TIED.build(torch.float32).embed.weight)


def test_mezo_svrg_costs_what_its_docstring_states(monkeypatch):
    """Check both kinds of step.

    An anchor step evaluates two full losses and draws z three times. Any other step evaluates four losses
    with one draw each, and draws once more for each direction of its update.
    """
    cost = documented_cost("mezo-svrg")
    anchor, minibatch = measured("mezo-svrg", MLP, monkeypatch, steps=2)
    assert "2 full losses every q-th step, else 4 forwards, 0 backwards" in cost
    assert "1 pass over theta" in cost
    assert (anchor["full_loss"], anchor["forwards"], anchor["backwards"]) == (2, 2, 0)
    assert (minibatch["zo_loss"], minibatch["forwards"], minibatch["backwards"]) == (4, 4, 0)
    assert (anchor["passes"], minibatch["passes"]) == (1, 1)
    at_anchor, otherwise, released = svrg_draws(cost)
    assert (anchor["draws"], minibatch["draws"]) == pytest.approx((at_anchor, otherwise))
    _, minibatch = measured("mezo-svrg", MLP, monkeypatch, steps=2, variant="released")
    assert minibatch["draws"] == pytest.approx(released)


def svrg_draws(cost: str) -> tuple[int, ...]:
    """Return the documented draws at an anchor step, at other steps, and at other steps of `released`."""
    match = re.search(r"(\d+) draws of z at an anchor step, (\d+) otherwise \((\d+) if released", cost)
    return tuple(int(n) for n in match.groups())


def test_a_tied_parameter_costs_mezo_svrg_no_extra_draws(monkeypatch):
    cost = documented_cost("mezo-svrg")
    measurements = measured("mezo-svrg", TIED, monkeypatch, steps=2)
    for step, draws in zip(measurements, svrg_draws(cost), strict=False):
        assert step["draws"] == pytest.approx(draws)


def test_released_arithmetic_costs_what_its_docstring_states(monkeypatch):
    """Each of the three perturbations and the update is one pass over theta."""
    from addax import released

    documented = parse_cost(" ".join(released.__doc__.split()))
    model = MLP.build(torch.float32)
    opt = module("method", "mezo").MeZO(model, lr=1e-3, arithmetic="released")
    size = sum(p.numel() for p in model.parameters())
    drawn, direction = [], noise.direction
    monkeypatch.setattr(noise, "direction", lambda *a: drawn.append(a[3] / size) or direction(*a))
    writes = Writes(model)
    with writes:
        opt.step(zo_loss=MLP.closure(model, 0))
    assert sum(drawn) == pytest.approx(documented["draws"])
    assert writes.elements / size == pytest.approx(documented["passes"])
