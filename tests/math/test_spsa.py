"""SPSA: unbiased up to its variance, exact in every dtype, and blind to dropout."""

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from addax import noise
from addax.addax import Addax
from addax.spsa import Perturbation
from baselines.mezo import MeZO
from tests.math.oracle import (
    CPU,
    DTYPES,
    LLAMA,
    MLP,
    OPT,
    ROBERTA,
    TIED,
    Dense,
    Problem,
    bits,
    fill,
    generator,
    opt_model,
)  # fmt: skip

ALL = pytest.mark.parametrize("dtype", [*DTYPES, torch.float64], ids=str)


class Point(nn.Module):
    """theta alone: forward returns a copy."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.randn(d, generator=generator(3), dtype=torch.float64))

    def forward(self) -> torch.Tensor:
        """theta, shape `(d,)`."""
        return self.theta * 1


def test_average_is_within_the_bound_of_the_gradient():
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

    perturbation = Perturbation(model, {model.theta: 0})
    total = torch.zeros(d, dtype=torch.float64)
    for k in range(n):
        estimate = perturbation.estimate(loss, 1e-3, noise.derive(0, k))
        total += estimate.projected_grad * noise.draw(estimate.step_seed, 0, torch.Size([d]), CPU)
    error = ((total / n - gradient).norm() / gradient.norm()).item()
    assert error < 2 * ((d + 1) / n) ** 0.5
    # An estimate that lost its randomness would come out at 0; this one may not.
    assert error > 0.1 * ((d + 1) / n) ** 0.5


def test_one_estimate_is_the_directional_derivative():
    """On a linear loss g0 = <grad, z> exactly."""
    model = Point(7)
    slope = torch.randn(7, generator=generator(6), dtype=torch.float64)
    estimate = Perturbation(model, {model.theta: 5}).estimate(lambda: slope @ model(), 1e-2, 77)
    z = noise.draw(77, 5, torch.Size([7]), CPU).double()
    torch.testing.assert_close(estimate.projected_grad, slope @ z, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(estimate.loss, slope @ model.theta.detach(), rtol=1e-12, atol=1e-12)


def hooks(model):
    """The ids of every module's forward hooks."""
    return [(*m._forward_pre_hooks, *m._forward_hooks) for m in model.modules()]


def check_unmoved(model, run):
    """Runs something that evaluates perturbed losses; theta keeps its bits and its memory."""
    before, memory, hooked = bits(model), [p.data_ptr() for p in model.parameters()], hooks(model)
    run()
    assert bits(model) == before
    assert [p.data_ptr() for p in model.parameters()] == memory
    assert all(p.grad is None for p in model.parameters())
    assert hooks(model) == hooked


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
def test_also_under_gradient_checkpointing(dtype):
    model = opt_model(dtype)
    model.gradient_checkpointing_enable({"use_reentrant": False})
    opt = Addax(model, lr=1e-3, alpha=0.5)
    check_unmoved(model, lambda: opt.estimate(OPT.closure(model, 0)))


@ALL
@pytest.mark.parametrize("evaluation", [1, 2])
@pytest.mark.parametrize("where", ["outside", "inside a module"])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_also_when_the_closure_raises(dtype, evaluation, where, error):
    model = MLP.build(dtype)
    opt = MeZO(model, lr=1e-3)
    calls = []
    if where == "inside a module":
        # The activation of the model's own second layer, between two modules that own parameters.
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
    """torch's attention uses the weights of its output projection without running that module."""

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


UNUSUAL = pytest.mark.parametrize(
    "build", [Nested, Rented, Views, Whole, Structured, Recurrent], ids=lambda b: b.__name__
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


@pytest.mark.parametrize("problem", [MLP, TIED, OPT, LLAMA, ROBERTA], ids=lambda p: p.name)
def test_the_check_changes_no_bit(problem):
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


class Borrowed(nn.Module):
    """Uses another module's weight, by itself or through a view made long before."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.first = nn.Linear(5, 5)
        self.second = nn.Linear(5, 5)
        self.spare = nn.Linear(5, 5)

    def forward(self, x):
        """`(batch, 5)` to `(batch, 5)`."""
        weight = self.view if self.how == "a view from before" else self.second.weight
        if self.how == "after its forward":
            x = self.second(x)
        return nn.functional.linear(self.first(x), weight)


def borrowed(how: str) -> nn.Module:
    """The module in float64, with a view of a weight that it has not to use."""
    model = fill(Borrowed(how), torch.float64)
    model.view = model.second.weight.detach().t()
    return model


def penalised(model, batch):
    """A loss with a term of its own on the weights."""
    return _cubes(model.first, batch) + model.second.weight.pow(2).sum()


OUTSIDE = {
    "attention": (lambda: fill(Attention(), torch.float64), _cubes, "attention.out_proj"),
    **{
        how: (lambda how=how: borrowed(how), _cubes, "second")
        for how in ("linear", "after its forward", "a view from before")
    },
    "penalty": (lambda: borrowed("linear"), penalised, "second"),
    "direct forward": (lambda: fill(nn.Linear(5, 5), torch.float64), None, ""),
    "encoder": (
        lambda: fill(nn.TransformerEncoderLayer(5, 1, 8, batch_first=True), torch.float64).eval(),
        lambda m, b: m(torch.ones(1, 4, 5, dtype=torch.float64)).pow(3).mean(),
        r"\w+",
    ),
}


@pytest.mark.parametrize("how", OUTSIDE)
def test_a_weight_read_outside_its_module_is_named(how):
    build, loss, module = OUTSIDE[how]
    model = build()
    closure = (lambda: model.forward(torch.ones(2, 5).double()).sum()) if loss is None else None
    closure = closure or (lambda: loss(model, 0))
    opt = MeZO(model, lr=1e-3)
    owner = f"its module '{module}" if module else "the model itself"
    match = rf"parameter '{module}.*(weight|bias)' is read .* outside the forward of {owner}.*freeze it"

    def run():
        for _ in range(2):
            with pytest.raises(ValueError, match=match):
                opt.step(zo_loss=closure)

    check_unmoved(model, run)
    assert opt.steps == 0
    MeZO(model, lr=1e-3, check=False).estimate(closure)
    MeZO(model, lr=1e-3, arithmetic="released").step(zo_loss=closure)


def test_what_reads_no_values_is_no_error():
    """Shapes, views that nothing reads, frozen weights, and parameters that the loss does not use."""
    model = borrowed("linear")
    model.second.weight.requires_grad_(False)

    def loss():
        like = torch.zeros_like(model.spare.weight)
        model.spare.weight.t()[1:].detach()
        return _cubes(model, 0) + like.sum() + model.spare.weight.new_ones(2).sum()

    assert torch.isfinite(MeZO(model, lr=1e-3).estimate(loss).projected_grad)


def test_tensors_that_share_a_storage_are_told_apart():
    """As tensors of one mapped file do: a frozen neighbour may be read anywhere."""
    model = borrowed("linear")
    whole = torch.randn(50, generator=generator(9), dtype=torch.float64)
    model.first.weight.data, model.second.weight.data = whole[:25].view(5, 5), whole[25:].view(5, 5)
    model.second.weight.requires_grad_(False)
    MeZO(model, lr=1e-3).estimate(lambda: _cubes(model, 0))


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
@pytest.mark.parametrize("reentrant", [False, True])
def test_the_check_sees_through_checkpoints(reentrant):
    model = borrowed("linear")

    def loss():
        return checkpoint(lambda: _cubes(model, 0), use_reentrant=reentrant)

    with pytest.raises(ValueError, match=r"'second\.weight' is read"):
        MeZO(model, lr=1e-3).estimate(loss)


@pytest.mark.parametrize("arithmetic", ["exact", "released"])
def test_both_evaluations_see_one_dropout_mask(arithmetic):
    """And the generator is left where one evaluation leaves it."""
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


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_projected_grad_is_float32(dtype):
    """Losses of 16-bit models are compared in float32, where the closure upcasts its logits or not."""
    model = MLP.build(dtype)
    opt = MeZO(model, lr=1e-3)
    assert opt.estimate(MLP.closure(model, 0)).projected_grad.dtype == torch.float32
    coarse = opt.estimate(lambda: MLP.loss(model, 0).to(dtype))
    assert coarse.projected_grad.dtype == coarse.loss.dtype == torch.float32


def test_exact_does_not_drift_where_released_does():
    """A hundred evaluations without an update in bfloat16: the published moves do not cancel."""
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
