"""Tests that modules that use weights in unusual ways are evaluated at theta + eps z, or rejected by name."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from baselines.mezo import MeZO
from tests.numerics.oracle import (
    MLP,
    ROBERTA,
    Dense,
    Problem,
    check_unmoved,
    fill,
    generator,
)

pytestmark = pytest.mark.usefixtures("both_sizes")


class Nested(nn.Module):
    """A module with parameters that calls a child with parameters twice, while its scratch is in use."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(5))
        self.child = nn.Linear(5, 5)
        self.scale = nn.Parameter(torch.ones(5))

    def forward(self, x):
        """Map `(batch, 5)` to `(batch, 5)`."""
        return torch.tanh(self.child(torch.tanh(self.child(x + self.shift)))) * self.scale


class NestedTie(nn.Module):
    """A module that also owns the weight of its inner module (a tie between nested modules)."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(5, 5)
        self.weight = self.inner.weight

    def forward(self, x):
        """Map `(batch, 5)` to `(batch, 5)`."""
        return torch.tanh(self.inner(x)) @ self.weight


class Attention(nn.Module):
    """A model with torch's attention, which reads the output projection's weights without running it."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)
        self.embed = nn.Linear(5, 6)

    def forward(self, x):
        """Map `(batch, 5)` to `(batch, 6)`."""
        h = self.embed(x)[None]
        return self.attention(h, h, h, need_weights=False)[0][0]


class Positions(nn.Module):
    """Learned positions as in Whisper: the module returns a view of its weight."""

    def __init__(self, rows: slice | None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(6, 5))
        self.rows = rows

    def forward(self):
        """Return `(4, 5)`, or the whole weight `(6, 5)`."""
        return self.weight if self.rows is None else self.weight[self.rows]


class Views(nn.Module):
    """A model that uses a view of one module's weight after another module has run."""

    rows: slice | None = slice(0, 4)

    def __init__(self) -> None:
        super().__init__()
        self.positions = Positions(self.rows)
        self.layer = nn.Linear(5, 5)

    def forward(self, x):
        """Map `(4, 5)` to `(4, 5)`."""
        positions = self.positions()
        return self.layer(x) * positions[:4]


class Whole(Views):
    """A model like `Views`, with the parameter itself instead of a view."""

    rows = None


def _cubes(model, batch):
    x = torch.randn(4, 5, generator=generator(batch), dtype=torch.float64)
    return (model(x) ** 3).mean()


class Structured(nn.Module):
    """A model whose child returns its parameter in tuples, dicts, and model outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.child = StructuredChild()
        self.layer = nn.Linear(5, 5)

    def forward(self, x):
        """Map `(4, 5)` to `(4, 5)`."""
        out = {kind: self.child(kind) for kind in ("tuple", "dict", "output")}
        h = self.layer(self.layer(x))
        weights = [out["tuple"][0][1], out["dict"]["a"]["b"], out["output"].last_hidden_state]
        return sum(h * (1 + weight[:4]) for weight in weights)


class StructuredChild(nn.Module):
    """The owner of the weight that `Structured` uses."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(6, 5))

    def forward(self, kind):
        """Return the weight or a view of it in a container."""
        from transformers.modeling_outputs import BaseModelOutput

        view = self.weight[1:]
        outputs = {"tuple": ([None, view], 3), "dict": {"a": {"b": view}}}
        return outputs[kind] if kind != "output" else BaseModelOutput(last_hidden_state=self.weight)


class Recurrent(nn.Module):
    """An LSTM, whose weights torch also keeps in a flat list, and a layer with weight normalization."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(5, 4, num_layers=2, bidirectional=True)
        self.out = nn.utils.parametrizations.weight_norm(nn.Linear(8, 3))

    def forward(self, x):
        """Map `(4, 5)` to `(4, 3)`."""
        return self.out(self.lstm(x[:, None])[0][:, 0])


class Encoder(nn.Module):
    """A layer in evaluation mode, which torch runs as one kernel unless there are hooks."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(5, 6)
        self.layer = nn.TransformerEncoderLayer(6, 2, 8, batch_first=True)
        self.eval()

    def forward(self, x):
        """Map `(4, 5)` to `(4, 6)`."""
        return self.layer(self.embed(x)[None])[0]


class Containers(nn.Module):
    """A model with parameters in containers, which have no forward."""

    def __init__(self) -> None:
        super().__init__()
        self.some = nn.ParameterList([torch.ones(5, 5), torch.ones(5)])
        self.named = nn.ParameterDict({"a": torch.ones(5), "b": nn.ParameterList([torch.ones(5)])})

    def forward(self, x):
        """Map `(4, 5)` to `(4, 5)`."""
        return torch.tanh(x @ self.some[0] + self.some[1]) * self.named["a"] + self.named["b"][0]


class ViewOwner(nn.Module):
    """A module that stores a view of its weight, which other modules read."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(5, 5))

    def forward(self, x):
        """Map `(4, 5)` to `(4, 5)`."""
        self.view = self.weight.t()
        return x @ self.view


class StoredView(nn.Module):
    """A model that reads a stored view of a weight after another module has run."""

    def __init__(self) -> None:
        super().__init__()
        self.owner = ViewOwner()
        self.layer = nn.Linear(5, 5)

    def forward(self, x):
        """Map `(4, 5)` to `(4, 5)`."""
        return torch.tanh(self.layer(torch.tanh(self.owner(x)))) @ self.owner.view


class Force(nn.Module):
    """Minus the gradient of an energy with respect to its input, as in molecular potentials."""

    def __init__(self) -> None:
        super().__init__()
        self.energy = nn.Sequential(nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 1))

    def forward(self, x):
        """Map `(4, 5)` to `(4, 5)`."""
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            (slope,) = torch.autograd.grad(self.energy(x).sum(), x)
        return -slope


UNUSUAL = pytest.mark.parametrize(
    "build",
    [
        Nested,
        NestedTie,
        Views,
        Whole,
        Structured,
        Recurrent,
        Attention,
        Encoder,
        Containers,
        StoredView,
        Force,
    ],
    ids=lambda b: b.__name__,
)


def unusual(build) -> Problem:
    """Return a problem with an unusual module."""
    return Problem(build.__name__, lambda dtype: fill(build(), dtype), _cubes)


@UNUSUAL
def test_unusual_modules_are_evaluated_at_theta_plus_eps_z(build):
    problem = unusual(build)
    model = problem.build(torch.float64)
    dense, opt = Dense(model, problem), MeZO(model, lr=1e-3)
    for _ in range(2):
        g0 = opt.estimate(problem.closure(model, 0)).projected_grad.item()
        assert g0 == pytest.approx(dense.g0(0, 1e-3, dense.z(opt.step_seed())), rel=1e-8)


def test_a_parameter_may_move_to_another_module_between_steps():
    model = MLP.build(torch.float64)
    opt = MeZO(model, lr=0.0)
    opt.step(zo_loss=MLP.closure(model, 0))
    other = nn.Linear(5, 8, dtype=torch.float64)
    other.weight, other.bias = model[0].weight, model[0].bias
    model[0] = other
    dense = Dense(model, MLP)
    g0 = opt.estimate(MLP.closure(model, 0)).projected_grad.item()
    assert g0 == pytest.approx(dense.g0(0, 1e-3, dense.z(opt.step_seed())), rel=1e-8)


def test_roberta_is_evaluated_at_theta_plus_eps_z():
    """RoBERTa's head shares a bias with one of its modules and shares the embedding."""
    model = ROBERTA.build(torch.float64)
    dense, opt = Dense(model, ROBERTA), MeZO(model, lr=1e-3)
    g0 = opt.estimate(ROBERTA.closure(model, 0)).projected_grad.item()
    assert g0 == pytest.approx(dense.g0(0, 1e-3, dense.z(opt.step_seed())), rel=1e-8)


def _in_a_thread(model):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(_cubes, model, 0).result()


ELSEWHERE = {
    "thread": (_in_a_thread, "in a different thread"),
    "grad": (lambda m: torch.func.grad(lambda x: m(x).sum())(torch.ones(5).double()).sum(), r"torch\.func"),
    "jvp": (lambda m: torch.func.jvp(m, *2 * [(torch.ones(5).double(),)])[1].sum(), r"torch\.func"),
    "vmap": (lambda m: torch.vmap(m)(torch.ones(4, 5).double()).sum(), r"torch\.func"),
}


@pytest.mark.parametrize("where", ELSEWHERE)
def test_a_loss_in_a_context_that_prevents_swapping_weights_is_rejected(where):
    """Threads would mix up the weights of their modules. Within torch.func, torch would abort the process."""
    loss, message = ELSEWHERE[where]
    model = MLP.build(torch.float64)
    opt = MeZO(model, lr=1e-3)
    assert torch.isfinite(loss(model))

    def run():
        with pytest.raises(ValueError, match=f"zo_loss runs (Sequential|Linear) .*{message}"):
            opt.step(zo_loss=lambda: loss(model))

    check_unmoved(model, run)
    assert opt.steps == 0
