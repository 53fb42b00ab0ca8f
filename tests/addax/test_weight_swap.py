"""Modules that hand weights about: seen at theta + eps z, or refused by name; never wrong in silence."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from baselines.mezo import MeZO
from tests.numerics.oracle import (
    LLAMA,
    MLP,
    OPT,
    ROBERTA,
    TIED,
    Dense,
    Problem,
    check_unmoved,
    fill,
    generator,
)


class Nested(nn.Module):
    """Parameters of its own around a child that has some, called twice: scratch is lent while in use."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(5))
        self.child = nn.Linear(5, 5)
        self.scale = nn.Parameter(torch.ones(5))

    def forward(self, x):
        """`(batch, 5)` to `(batch, 5)`."""
        return torch.tanh(self.child(torch.tanh(self.child(x + self.shift)))) * self.scale


class Rented(nn.Module):
    """A layer whose weight a second module owns too, run inside it (a tie between nested modules)."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(5, 5)
        self.weight = self.inner.weight

    def forward(self, x):
        """`(batch, 5)` to `(batch, 5)`."""
        return torch.tanh(self.inner(x)) @ self.weight


class Attention(nn.Module):
    """torch's attention reads the weights of its output projection without running that module."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)
        self.embed = nn.Linear(5, 6)

    def forward(self, x):
        """`(batch, 5)` to `(batch, 6)`."""
        h = self.embed(x)[None]
        return self.attention(h, h, h, need_weights=False)[0][0]


class Positions(nn.Module):
    """Learned positions as Whisper has them: the module returns a view of its own weight."""

    def __init__(self, rows: slice | None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(6, 5))
        self.rows = rows

    def forward(self):
        """`(4, 5)`, or the whole weight `(6, 5)`."""
        return self.weight if self.rows is None else self.weight[self.rows]


class Views(nn.Module):
    """A view of one module's weight, used after another module ran."""

    rows: slice | None = slice(0, 4)

    def __init__(self) -> None:
        super().__init__()
        self.positions = Positions(self.rows)
        self.layer = nn.Linear(5, 5)

    def forward(self, x):
        """`(4, 5)` to `(4, 5)`."""
        positions = self.positions()
        return self.layer(x) * positions[:4]


class Whole(Views):
    """As `Views`, with the parameter itself in place of a view."""

    rows = None


def _cubes(model, batch):
    x = torch.randn(4, 5, generator=generator(batch), dtype=torch.float64)
    return (model(x) ** 3).mean()


class Structured(nn.Module):
    """Returns its parameter in tuples, dicts and model outputs, beside what it computed."""

    def __init__(self) -> None:
        super().__init__()
        self.child = StructuredChild()
        self.layer = nn.Linear(5, 5)

    def forward(self, x):
        """`(4, 5)` to `(4, 5)`."""
        out = {kind: self.child(kind) for kind in ("tuple", "dict", "output")}
        h = self.layer(self.layer(x))
        held = [out["tuple"][0][1], out["dict"]["a"]["b"], out["output"].last_hidden_state]
        return sum(h * (1 + weight[:4]) for weight in held)


class StructuredChild(nn.Module):
    """Owns what `Structured` passes on."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(6, 5))

    def forward(self, kind):
        """The weight or a view of it, wrapped."""
        from transformers.modeling_outputs import BaseModelOutput

        view = self.weight[1:]
        made = {"tuple": ([None, view], 3), "dict": {"a": {"b": view}}}
        return made[kind] if kind != "output" else BaseModelOutput(last_hidden_state=self.weight)


class Recurrent(nn.Module):
    """An LSTM, whose weights torch keeps in a flat list too, and a layer with weight normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(5, 4, num_layers=2, bidirectional=True)
        self.out = nn.utils.parametrizations.weight_norm(nn.Linear(8, 3))

    def forward(self, x):
        """`(4, 5)` to `(4, 3)`."""
        return self.out(self.lstm(x[:, None])[0][:, 0])


class Encoder(nn.Module):
    """In evaluation torch runs a whole layer as one kernel, unless there are hooks."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(5, 6)
        self.layer = nn.TransformerEncoderLayer(6, 2, 8, batch_first=True)
        self.eval()

    def forward(self, x):
        """`(4, 5)` to `(4, 6)`."""
        return self.layer(self.embed(x)[None])[0]


class Held(nn.Module):
    """Parameters in containers, which have no forward."""

    def __init__(self) -> None:
        super().__init__()
        self.some = nn.ParameterList([torch.ones(5, 5), torch.ones(5)])
        self.named = nn.ParameterDict({"a": torch.ones(5), "b": nn.ParameterList([torch.ones(5)])})

    def forward(self, x):
        """`(4, 5)` to `(4, 5)`."""
        return torch.tanh(x @ self.some[0] + self.some[1]) * self.named["a"] + self.named["b"][0]


class Keeping(nn.Module):
    """Keeps a view of its weight for others to read."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(5, 5))

    def forward(self, x):
        """`(4, 5)` to `(4, 5)`."""
        self.kept = self.weight.t()
        return x @ self.kept


class Kept(nn.Module):
    """A view that its module has kept is read after another module ran."""

    def __init__(self) -> None:
        super().__init__()
        self.keeping = Keeping()
        self.layer = nn.Linear(5, 5)

    def forward(self, x):
        """`(4, 5)` to `(4, 5)`."""
        return torch.tanh(self.layer(torch.tanh(self.keeping(x)))) @ self.keeping.kept


class Force(nn.Module):
    """Minus the gradient of an energy with respect to its input, as potentials of molecules have it."""

    def __init__(self) -> None:
        super().__init__()
        self.energy = nn.Sequential(nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 1))

    def forward(self, x):
        """`(4, 5)` to `(4, 5)`."""
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            (slope,) = torch.autograd.grad(self.energy(x).sum(), x)
        return -slope


UNUSUAL = pytest.mark.parametrize(
    "build",
    [Nested, Rented, Views, Whole, Structured, Recurrent, Attention, Encoder, Held, Kept, Force],
    ids=lambda b: b.__name__,
)


def unusual(build) -> Problem:
    """A problem around an unusual module."""
    return Problem(build.__name__, lambda dtype: fill(build(), dtype), _cubes)


@UNUSUAL
def test_unusual_modules_see_theta_plus_eps_z(build):
    problem = unusual(build)
    model = problem.build(torch.float64)
    dense, opt = Dense(model, problem), MeZO(model, lr=1e-3)
    for _ in range(2):
        g0 = opt.estimate(problem.closure(model, 0)).projected_grad.item()
        assert g0 == pytest.approx(dense.g0(0, 1e-3, dense.z(opt.step_seed())), rel=1e-8)


def test_a_parameter_may_move_to_another_module_between_steps():
    """After a first step as well, whose check has seen all modules then."""
    model = MLP.build(torch.float64)
    opt = MeZO(model, lr=0.0)
    opt.step(zo_loss=MLP.closure(model, 0))
    other = nn.Linear(5, 8, dtype=torch.float64)
    other.weight, other.bias = model[0].weight, model[0].bias
    model[0] = other
    dense = Dense(model, MLP)
    g0 = opt.estimate(MLP.closure(model, 0)).projected_grad.item()
    assert g0 == pytest.approx(dense.g0(0, 1e-3, dense.z(opt.step_seed())), rel=1e-8)


@pytest.mark.parametrize("problem", [MLP, TIED, OPT, LLAMA, ROBERTA], ids=lambda p: p.name)
def test_the_access_guard_changes_no_bit(problem):
    """So that a resumed run, whose first estimate is checked anew, is the same run."""
    model = problem.build(torch.float32)
    with_check, without = MeZO(model, lr=1e-3), MeZO(model, lr=1e-3, check=False)
    seen = [opt.estimate(problem.closure(model, 0)) for opt in (with_check, with_check, without)]
    assert len({(e.projected_grad.item(), e.loss.item()) for e in seen}) == 1


def test_roberta_sees_theta_plus_eps_z():
    """Its head owns a bias that a module inside it owns too, and shares the embedding."""
    model = ROBERTA.build(torch.float64)
    dense, opt = Dense(model, ROBERTA), MeZO(model, lr=1e-3)
    g0 = opt.estimate(ROBERTA.closure(model, 0)).projected_grad.item()
    assert g0 == pytest.approx(dense.g0(0, 1e-3, dense.z(opt.step_seed())), rel=1e-8)


def _in_a_thread(model):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(_cubes, model, 0).result()


ELSEWHERE = {
    "thread": (_in_a_thread, "thread of its own"),
    "grad": (lambda m: torch.func.grad(lambda x: m(x).sum())(torch.ones(5).double()).sum(), r"torch\.func"),
    "jvp": (lambda m: torch.func.jvp(m, *2 * [(torch.ones(5).double(),)])[1].sum(), r"torch\.func"),
    "vmap": (lambda m: torch.vmap(m)(torch.ones(4, 5).double()).sum(), r"torch\.func"),
}


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize("where", ELSEWHERE)
def test_modules_run_where_weights_cannot_be_exchanged_are_refused(where, check):
    """Several threads would mix up their modules' weights; within torch.func, torch ends the process."""
    loss, says = ELSEWHERE[where]
    model = MLP.build(torch.float64)
    opt = MeZO(model, lr=1e-3, check=check)
    assert torch.isfinite(loss(model))

    def run():
        with pytest.raises(ValueError, match=f"zo_loss runs Linear .*{says}"):
            opt.step(zo_loss=lambda: loss(model))

    check_unmoved(model, run)
    assert opt.steps == 0
