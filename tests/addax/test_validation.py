"""Tests that invalid models, arguments, and closures are rejected by name before anything changes."""

import math

import numpy
import pytest
import torch
from torch import nn

from addax import Addax, noise, seeds
from addax.validation import trainable
from baselines.adam import Adam
from baselines.ip_sgd import IPSGD
from baselines.mezo import MeZO
from baselines.mezo_svrg import MeZOSVRG
from baselines.sgd import SGD
from tests.numerics.oracle import MLP, bits

ALL = (Addax, MeZO, MeZOSVRG, IPSGD, SGD, Adam)
FIRST_ORDER = (Addax, IPSGD, SGD, Adam)
ZEROTH_ORDER = (Addax, MeZO, MeZOSVRG)


def check_rejected(opt, model, match, **closures):
    """Check that a step raises `ValueError` and leaves theta, the step count, and gradients unchanged."""
    before, generator = bits(model), torch.get_rng_state()
    with pytest.raises(ValueError, match=match):
        opt.step(**closures)
    assert bits(model) == before
    assert opt.steps == 0
    assert all(p.grad is None for p in model.parameters())
    assert torch.equal(torch.get_rng_state(), generator)


def closure(opt, value):
    """Return the closure of a method's first step, keyed by its name. It returns the given value."""
    name = "full_loss" if "full_loss" in opt.closures else opt.closures[0]
    return {name: lambda: value}


@pytest.mark.parametrize("method", ALL)
def test_a_step_without_a_closure_is_rejected(method):
    model = MLP.build(torch.float32)
    opt = method(model, lr=0.1)
    check_rejected(opt, model, rf"{method.__name__}.* pass {' and '.join(opt.closures)}")


@pytest.mark.parametrize(
    ("method", "name"),
    [(MeZO, "fo_loss"), (MeZOSVRG, "fo_loss"), (IPSGD, "zo_loss"), (SGD, "zo_loss"), (Adam, "zo_loss")],
)
def test_a_closure_that_the_method_cannot_use_is_rejected(method, name):
    model = MLP.build(torch.float32)
    opt = method(model, lr=0.1)
    called = []
    given = dict.fromkeys(opt.closures, lambda: called.append(None)) | {name: MLP.closure(model, 0)}
    check_rejected(opt, model, rf"{method.__name__} does not take {name}: pass", **given)
    assert not called


@pytest.mark.parametrize(("alpha", "name"), [(0, "zo_loss"), (1, "fo_loss")])
def test_a_closure_that_alpha_gives_no_weight_is_rejected(alpha, name):
    model = MLP.build(torch.float32)
    both = {"zo_loss": MLP.closure(model, 0), "fo_loss": MLP.closure(model, 0)}
    check_rejected(
        Addax(model, lr=0.1, alpha=alpha), model, rf"alpha={alpha} gives {name} zero weight", **both
    )


def test_mezo_svrg_names_the_closure_that_its_step_needs():
    model = MLP.build(torch.float32)
    opt = MeZOSVRG(model, lr=0.1)
    check_rejected(opt, model, "needs full_loss at step 0", zo_loss=MLP.closure(model, 0))
    opt.step(full_loss=MLP.closure(model, 0))
    with pytest.raises(ValueError, match="needs zo_loss at step 1"):
        opt.step(full_loss=MLP.closure(model, 0))


BAD = {"vector": (torch.ones(3), r"shape \(3,\)"), "float": (0.5, "float"), "None": (None, "NoneType")}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("method", ALL)
def test_a_loss_that_is_not_a_scalar_is_rejected(method, bad):
    model = MLP.build(torch.float32)
    opt = method(model, lr=0.1)
    value, message = BAD[bad]
    check_rejected(opt, model, rf"must return a scalar tensor, not .*{message}", **closure(opt, value))


@pytest.mark.parametrize("method", FIRST_ORDER)
def test_a_first_order_loss_without_gradient_is_rejected(method):
    model = MLP.build(torch.float32)
    check_rejected(method(model, lr=0.1), model, "without a gradient", fo_loss=lambda: torch.ones(()))
    check_rejected(
        method(model, lr=0.1), model, "without a gradient", fo_loss=lambda: MLP.loss(model, 0).detach()
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
@pytest.mark.parametrize("method", FIRST_ORDER)
def test_a_first_order_loss_that_reaches_no_parameter_is_rejected(method, dtype):
    """The loss depends on another tensor with a gradient. The zeroth-order part is not applied either."""
    model, other = MLP.build(dtype), torch.ones((), requires_grad=True)
    opt = method(model, lr=0.1)
    closures = dict.fromkeys(opt.closures, MLP.closure(model, 0)) | {"fo_loss": lambda: other * 2}
    check_rejected(opt, model, "does not depend on trainable parameters of the model", **closures)


def test_a_step_works_inside_no_grad():
    model = MLP.build(torch.float32)
    before = bits(model)
    with torch.no_grad():
        IPSGD(model, lr=0.1).step(fo_loss=MLP.closure(model, 0))
    assert bits(model) != before


ARGUMENTS = [
    *((m, {"lr": lr}, "lr") for m in ALL for lr in (-1e-9, math.nan, math.inf)),
    *((m, {"lr": 0.1, "eps": e}, "eps") for m in ZEROTH_ORDER for e in (0, -1e-3, math.nan, math.inf)),
    *((Addax, {"lr": 0.1, "alpha": a}, "alpha") for a in (-0.1, 1.1, math.nan)),
    *((m, {"lr": 0.1, "rounding": "up"}, "rounding.*stochastic") for m in (*ZEROTH_ORDER, IPSGD, SGD)),
    *((m, {"lr": 0.1, "arithmetic": "fast"}, "arithmetic.*released") for m in (Addax, MeZO)),
    *(
        (m, {"lr": 0.1, "seed": s}, f"seed must be an integer, not {s}")
        for m in ZEROTH_ORDER
        for s in (1.5, None)
    ),
    (MeZOSVRG, {"lr": 0.1, "lr_ratio": -1}, "lr_ratio"),
    (MeZOSVRG, {"lr": 0.1, "anchor_every": 0}, "anchor_every"),
    (MeZOSVRG, {"lr": 0.1, "variant": "fixed"}, "variant.*paper"),
]


@pytest.mark.parametrize(("method", "arguments", "match"), ARGUMENTS)
def test_arguments_out_of_range_are_rejected(method, arguments, match):
    with pytest.raises(ValueError, match=match):
        method(MLP.build(torch.float32), **arguments)


@pytest.mark.parametrize("seed", [numpy.int64(7), numpy.uint32(7), torch.tensor(7)], ids=repr)
def test_a_seed_may_have_any_integer_type(seed):
    ends = []
    for given in (seed, 7):
        model = MLP.build(torch.float32)
        opt = MeZO(model, lr=0.1, seed=given)
        opt.step(zo_loss=MLP.closure(model, 0))
        ends.append((bits(model), opt.method_state()["seed"]))
    assert ends[0] == ends[1]
    assert type(ends[0][1]) is int


def _groups(model, **options):
    return [{"params": list(model.parameters()), **options}]


@pytest.mark.parametrize("lr", [-1.0, math.inf, math.nan])
@pytest.mark.parametrize("method", ALL)
def test_a_groups_learning_rate_out_of_range_is_rejected(method, lr):
    model = MLP.build(torch.float32)
    groups = [*_groups(model[0]), *_groups(nn.ModuleList([model[2], model[3]]), lr=lr)]
    with pytest.raises(ValueError, match=r"lr of parameter group 1 must be in \[0, inf\)"):
        method(model, lr=0.1, params=groups)


@pytest.mark.parametrize("method", ALL)
def test_a_group_with_a_foreign_parameter_is_rejected(method):
    model = MLP.build(torch.float32)
    with pytest.raises(
        ValueError, match="a parameter in the groups is not a trainable parameter of the model"
    ):
        method(model, lr=0.1, params=_groups(nn.Linear(2, 2)))
    model[0].weight.requires_grad_(False)
    with pytest.raises(ValueError, match=r"'0\.weight' in the groups is not a trainable parameter"):
        method(model, lr=0.1, params=_groups(model))


@pytest.mark.parametrize("method", ALL)
def test_groups_that_leave_parameters_out_are_rejected(method):
    """To leave a parameter out, freeze it. Frozen parameters do not change or get gradients."""
    model = MLP.build(torch.float32)
    with pytest.raises(ValueError, match=r"'0\.weight' is in no parameter group.*requires_grad_\(False\)"):
        method(model, lr=0.1, params=_groups(model[3]))
    model[0].requires_grad_(False)
    model[2].requires_grad_(False)
    before = [p.detach().clone() for p in model.parameters()]
    opt = method(model, lr=0.1, params=_groups(model[3]))
    opt.step(**{name: MLP.closure(model, 0) for name in opt.closures})
    assert all(p.grad is None for p in model.parameters())
    moved = [not torch.equal(p, b) for p, b in zip(model.parameters(), before, strict=True)]
    assert moved == [p.requires_grad for p in model.parameters()]


@pytest.mark.parametrize("method", ALL)
def test_models_that_cannot_be_trained_are_rejected(method):
    with pytest.raises(ValueError, match="Sequential has no trainable parameter"):
        method(MLP.build(torch.float32).requires_grad_(False), lr=0.1)
    with pytest.raises(ValueError, match=r"'0\.weight' is offloaded"):
        method(nn.Sequential(nn.Linear(2, 2, device="meta")), lr=0.1)
    strided = nn.Sequential(nn.Linear(2, 3))
    strided[0].weight = nn.Parameter(torch.ones(2, 3).t())
    with pytest.raises(ValueError, match=r"'0\.weight' is not contiguous"):
        method(strided, lr=0.1)
    odd = nn.Sequential(nn.Linear(2, 2))
    odd[0].weight = nn.Parameter(torch.ones(2, 2, dtype=torch.complex64))
    with pytest.raises(ValueError, match=r"'0\.weight' is torch\.complex64"):
        method(odd, lr=0.1)


FIRST_ARGUMENTS = {
    "generator": (lambda m: m.parameters(), "is the model, not its parameters .*pass model"),
    "list": (lambda m: list(m.parameters()), "is the model, not its parameters .*pass model"),
    "named": (lambda m: m.named_parameters(), "is the model, not its parameters .*pass model"),
    "groups": (lambda m: [{"params": m.parameters()}], "is the model, not its parameters .*pass model"),
    "state": (lambda m: m.state_dict(), "is the model, not its parameters .*pass model"),
    "tensor": (lambda m: m[0].weight, "is the model, not its parameters .*pass model"),
    "class": (lambda m: nn.Linear, "is the class Linear: pass an instance"),
    "function": (lambda m: m.forward, r"must be the model \(an nn.Module\), not method"),
    "name": (lambda m: "facebook/opt-125m", r"must be the model \(an nn.Module\), not str"),
    "None": (lambda m: None, r"must be the model \(an nn.Module\), not NoneType"),
}


@pytest.mark.parametrize("kind", FIRST_ARGUMENTS)
@pytest.mark.parametrize("method", ALL)
def test_another_first_argument_than_a_model_names_the_call(method, kind):
    make, message = FIRST_ARGUMENTS[kind]
    with pytest.raises(TypeError, match=f"the first argument {message}") as error:
        method(make(MLP.build(torch.float32)), lr=0.1)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("keyword", "hint"),
    [
        ("epsilon", "did you mean 'eps'"),
        ("learning_rate", "did you mean 'lr'"),
        ("parms", "did you mean 'params'"),
        ("weight_decay", "it takes lr, "),
        ("momentum", "it takes lr, "),
    ],
)
@pytest.mark.parametrize("method", ALL)
def test_an_unknown_argument_gets_a_suggestion(method, keyword, hint):
    if "eps" in hint and "eps" not in method.arguments():
        hint = "it takes lr, "
    match = rf"^{method.__name__} got an unexpected keyword argument '{keyword}': {hint}"
    with pytest.raises(TypeError, match=match):
        method(MLP.build(torch.float32), **{"lr": 0.1, keyword: 0.1})


class Many(nn.Module):
    """A model with frozen parameters between two trainable layers."""

    def __init__(self, frozen):
        super().__init__()
        self.first = nn.Linear(4, 1)
        self.frozen = nn.ParameterList([nn.Parameter(torch.zeros(1), False) for _ in range(frozen)])
        self.last = nn.Linear(1, 4)

    def loss(self):
        """Return a loss that reaches both layers."""
        return self.first(self.last(torch.ones(2, 1, dtype=self.first.weight.dtype))).square().mean()


@pytest.mark.parametrize("method", ALL)
def test_only_trainable_parameters_count_toward_the_limit(method, monkeypatch):
    """A step follows the indices that the docstring of `trainable` defines."""
    monkeypatch.setattr(seeds, "MAX_TENSORS", 6)
    model = Many(frozen=30)
    opt = method(model, lr=0.1)
    trained = [*model.first.parameters(), *model.last.parameters()]
    assert [opt.indices[p] for p in trained] == [0, 1, 5, 4]
    before = [p.detach().clone() for p in trained]
    opt.step(**dict.fromkeys(opt.closures, model.loss))
    assert not any(torch.equal(p, b) for p, b in zip(trained, before, strict=True))


def test_indices_below_the_limit_are_positions(monkeypatch):
    model = Many(frozen=30)
    positions = {p: k for k, p in enumerate(model.parameters()) if p.requires_grad}
    assert trainable(model) == positions
    monkeypatch.setattr(seeds, "MAX_TENSORS", max(positions.values()) + 1)
    assert trainable(model) == positions
    # An index below the limit stays, and the others are distinct from it.
    monkeypatch.setattr(seeds, "MAX_TENSORS", max(positions.values()))
    assert list(trainable(model).values()) == [0, 1, 32, 31]


def test_a_model_as_large_as_the_reported_one_takes_a_bfloat16_step():
    """With 33,000 frozen parameters between two trainable layers, every trainable parameter moves."""
    model = Many(frozen=33_000).bfloat16()
    opt = IPSGD(model, lr=0.1)
    assert max(opt.indices.values()) < seeds.MAX_TENSORS
    before = [p.detach().clone() for p in opt.indices]
    opt.step(fo_loss=model.loss)
    assert not any(torch.equal(p, b) for p, b in zip(opt.indices, before, strict=True))


@pytest.mark.parametrize("method", ALL)
def test_too_many_trainable_parameters_are_rejected_at_construction(method, monkeypatch):
    monkeypatch.setattr(seeds, "MAX_TENSORS", 5)
    with pytest.raises(
        ValueError, match="Sequential has 6 trainable parameters, but at most 5 can be trained"
    ):
        method(MLP.build(torch.float32), lr=0.1)


@pytest.mark.parametrize("method", ALL)
def test_a_parameter_with_too_many_elements_is_rejected_at_construction(method, monkeypatch):
    monkeypatch.setattr(seeds, "MAX_BLOCKS", 2)
    monkeypatch.setattr(noise, "CPU_BLOCK", 10)
    with pytest.raises(
        ValueError, match=r"'0\.weight' has 40 elements, but at most 20 can be trained on cpu"
    ):
        method(MLP.build(torch.float32), lr=0.1)


@pytest.mark.parametrize("method", ALL)
def test_a_parameter_without_a_shape_is_rejected(method):
    with pytest.raises(ValueError, match=r"'0\.weight' has no shape yet: run the model once on a batch"):
        method(nn.Sequential(nn.LazyLinear(2)), lr=0.1)


class Quantized(torch.Tensor):
    """A tensor that appears to be float32 but stores integer codes, as in quantization libraries."""

    @staticmethod
    def __new__(cls, codes):
        """Wrap int8 codes."""
        return torch.Tensor._make_wrapper_subclass(cls, codes.shape, dtype=torch.float32)

    def __init__(self, codes):
        self.codes = codes

    def __tensor_flatten__(self):
        """Return the names of the inner tensors."""
        return ["codes"], None

    @classmethod
    def __tensor_unflatten__(cls, inner, meta, size, stride):
        """Rebuild the tensor from the inner tensors."""
        return cls(inner["codes"])

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        """Support only the operators of a parameter."""
        if func in (torch.ops.aten.detach.default, torch.ops.aten.alias.default):
            return cls(args[0].codes)
        raise NotImplementedError(f"{func} on {cls.__name__}")


@pytest.mark.parametrize("method", ALL)
def test_quantized_parameters_are_rejected(method):
    """Trainable quantized and float8 tensors are rejected. Frozen quantized tensors are allowed."""
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].weight = nn.Parameter(Quantized(torch.ones(2, 2, dtype=torch.int8)))
    assert model[1].weight.requires_grad
    with pytest.raises(ValueError, match=r"'1\.weight' is a Quantized.*requires_grad_\(False\)"):
        method(model, lr=0.1)
    model[1].weight.requires_grad_(False)
    assert len(method(model, lr=0.1).indices) == 3
    model[0].bias = nn.Parameter(torch.ones(2).to(torch.float8_e4m3fn))
    with pytest.raises(ValueError, match=r"'0\.bias' is torch\.float8_e4m3fn: only torch\.float32, "):
        method(model, lr=0.1)


def replace(model):
    model[3].bias = nn.Parameter(torch.zeros(3))


def add(model):
    model[3].extra = nn.Linear(2, 2)


def unfreeze(model):
    model[0].bias.requires_grad_(True)


def freeze(model):
    model[3].bias.requires_grad_(False)


def remove(model):
    model[3].bias = None


def tie(model):
    model[3].bias = model[0].weight


def convert(model):
    model[3].half()


def move(model):
    """Move a layer to the meta device. torch replaces parameters that move to a different type of device."""
    model[3].to("meta")


SINCE = "since the method was built: change the model first, then build the method from it"
CHANGES = {
    replace: r"'3\.bias' was replaced",
    add: r"'3\.extra\.weight' was added or unfrozen",
    unfreeze: r"'0\.bias' was added or unfrozen",
    freeze: r"'3\.bias' was removed or frozen",
    remove: r"'3\.bias' was removed or frozen",
    tie: r"'3\.bias' was removed or frozen",
    convert: r"'3\.weight' was moved or converted from torch\.float32 on cpu to torch\.float16 on cpu",
    move: r"'3\.weight' was replaced",
}


@pytest.mark.parametrize("change", CHANGES, ids=lambda f: f.__name__)
@pytest.mark.parametrize("method", ALL)
def test_a_model_changed_after_the_method_was_built_is_rejected(method, change):
    """The next step raises before a closure is called. Parameters that were always frozen may change."""
    model = MLP.build(torch.float32)
    model[0].bias.requires_grad_(False)
    opt = method(model, lr=0.1)
    model[0].bias = nn.Parameter(model[0].bias.detach().clone(), requires_grad=False)
    opt.step(**dict.fromkeys(opt.closures, MLP.closure(model, 0)))
    change(model)
    before = [p.detach().clone() for p in model.parameters()]
    called = []
    with pytest.raises(ValueError, match=f"parameter {CHANGES[change]} .*{SINCE}$"):
        opt.step(**dict.fromkeys(opt.closures, lambda: called.append(None)))
    assert not called
    assert opt.steps == 1
    on_cpu = [(p, b) for p, b in zip(model.parameters(), before, strict=True) if p.device.type == "cpu"]
    assert all(torch.equal(p, b) for p, b in on_cpu)


@pytest.mark.parametrize("method", ALL)
def test_a_parameter_moved_to_another_device_is_rejected(method):
    """`model.cuda()` moves parameters. This test records a CUDA placement instead, so it needs no GPU."""
    model = MLP.build(torch.float32)
    opt = method(model, lr=0.1)
    opt.placements[model[0].bias] = (torch.device("cuda:0"), torch.float32)
    match = r"'0\.bias' was moved or converted from torch\.float32 on cuda:0 to torch\.float32 on cpu since"
    check_rejected(opt, model, match, **dict.fromkeys(opt.closures, MLP.closure(model, 0)))


@pytest.mark.parametrize("method", ALL)
def test_frozen_integer_parameters_are_allowed(method):
    """A quantized model with trainable adapters has such parameters."""
    model = MLP.build(torch.float32)
    model.codes = nn.Parameter(torch.ones(3, dtype=torch.int8), requires_grad=False)
    assert method(model, lr=0.1).indices.keys().isdisjoint({model.codes})


def test_the_arguments_of_a_method_are_those_of_its_constructor():
    """The signature of a class can be that of `__new__`, in Python 3.11.2 even of an inherited one."""

    class Own(IPSGD):
        def __new__(cls, *args, **kwargs):
            return super().__new__(cls, *args, **kwargs)

    assert Own.arguments() == IPSGD.arguments()
    assert {"lr", "seed", "rounding", "params", "process_group"} == set(IPSGD.arguments())
    assert "seed" in MeZO.arguments()
