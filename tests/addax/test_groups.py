"""Tests that every form of parameters is honored, and that no setting of a group is ignored."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

from addax import Addax
from baselines.adam import Adam
from baselines.ip_sgd import IPSGD
from baselines.mezo import MeZO
from baselines.mezo_svrg import MeZOSVRG
from baselines.sgd import SGD
from tests.numerics.oracle import MLP, bits

METHODS = (Addax, MeZO, MeZOSVRG, IPSGD, SGD, Adam)
ALL = pytest.mark.parametrize("method", METHODS)

FORMS = {
    "generator": lambda m: m.parameters(),
    "list": lambda m: list(m.parameters()),
    "named": lambda m: m.named_parameters(),
    "items": lambda m: dict(m.named_parameters()).items(),
    "group": lambda m: [{"params": m.parameters()}],
    "named group": lambda m: [{"params": m.named_parameters()}],
    "one group for each": lambda m: ({"params": [p]} for p in m.parameters()),
    "one tensor for each": lambda m: [{"params": p} for p in m.parameters()],
}


@pytest.mark.parametrize("form", FORMS)
@ALL
def test_every_form_of_all_parameters_gives_the_same_step(method, form):
    ends = []
    for params in (None, FORMS[form]):
        model = MLP.build(torch.float64)
        opt = method(model, lr=0.1, params=params and params(model))
        opt.step(**dict.fromkeys(opt.closures, MLP.closure(model, 0)))
        ends.append(bits(model))
    assert ends[0] == ends[1]


def test_the_learning_rate_of_each_group_is_honored():
    """Plain gradient descent with three rates, computed densely in float64."""
    model = MLP.build(torch.float64)
    parameters = list(model.parameters())
    rates = [0.1, 0.3, 0.3, 0.3, 0.0, 0.0]
    grads = torch.autograd.grad(MLP.loss(model, 0), parameters)
    expected = [p.detach() - r * g for p, r, g in zip(parameters, rates, grads, strict=True)]
    groups = [
        {"params": parameters[:1]},
        {"params": parameters[1:4], "lr": torch.tensor(0.3, dtype=torch.float64), "name": "middle"},
        {"params": parameters[4:], "lr": 0},
    ]
    IPSGD(model, lr=0.1, params=groups).step(fo_loss=MLP.closure(model, 0))
    assert set(groups[0]) == {"params"}, "the caller's group has changed"
    torch.testing.assert_close([p.detach() for p in parameters], expected, rtol=1e-13, atol=1e-13)


WRONG_FORMS = {
    "one group": (lambda m: {"params": m.parameters()}, r"params is one dict: pass \[group\]"),
    "a dict": (lambda m: dict(m.named_parameters()), r"params is one dict: pass params\.items\(\)"),
    "a set": (lambda m: set(m.parameters()), "params is a set, whose order differs between runs"),
    "the model": (lambda m: m, "params is a Sequential: omit it"),
    "a tensor": (lambda m: m[0].weight, "params must be a list .* not Parameter"),
    "names": (lambda m: "0.weight", "params must be a list .* not str"),
    "mixed": (lambda m: [{"params": [m[0].weight]}, m[0].bias], "params mixes groups and parameters"),
}


@pytest.mark.parametrize("form", WRONG_FORMS)
@ALL
def test_other_forms_are_rejected_in_one_line(method, form):
    model = MLP.build(torch.float32)
    params, message = WRONG_FORMS[form]
    with pytest.raises(TypeError, match=message) as error:
        method(model, lr=0.1, params=params(model))
    assert "\n" not in str(error.value)


def test_a_group_without_parameters_is_rejected():
    with pytest.raises(ValueError, match="parameter group 0 has no 'params'"):
        MeZO(MLP.build(torch.float32), lr=0.1, params=[{"lr": 0.1}])


def supported(method):
    return {"lr", "betas", "eps", "weight_decay"} if method is Adam else {"lr"}


SETTINGS = {
    "weight_decay": (0.1, r"remove it \(a group may set lr\)"),
    "momentum": (0.9, "remove it"),
    "betas": ((0.9, 0.99), "remove it"),
    "learning_rate": (5.0, "did you mean 'lr'"),
    "LR": (5.0, "did you mean 'lr'"),
    "lr_scale": (0.5, "did you mean 'lr'"),
    "eps": (1.0, r"holds for all groups, so pass \w+\(model, eps=\.\.\.\)"),
    "seed": (3, r"holds for all groups, so pass \w+\(model, seed=\.\.\.\)"),
    "nesterov": (True, "remove it"),
    "max_momentum": (0.9, "remove it"),
}


@pytest.mark.parametrize("later", [False, True], ids=["built with", "written later"])
@pytest.mark.parametrize("key", SETTINGS)
@ALL
def test_a_setting_that_a_step_would_ignore_is_rejected(method, key, later):
    """Both in a group that the method is built from, and if other code (a scheduler) writes it later."""
    if key in supported(method) or (method is Adam and key == "max_momentum"):
        return
    value, remedy = SETTINGS[key]
    if key not in method.arguments() and "holds for all" in remedy:
        remedy = "remove it"
    model = MLP.build(torch.float32)
    groups = [{"params": list(model[0].parameters())}, {"params": [*model[2:].parameters()]}]
    match = f"{method.__name__} would ignore '{key}' of parameter group 1: .*{remedy}"
    if not later:
        groups[1][key] = value
        with pytest.raises(ValueError, match=match):
            method(model, lr=0.1, params=groups)
        return
    opt = method(model, lr=0.1, params=groups)
    before = bits(model)
    opt.param_groups[1][key] = value
    called = []
    with pytest.raises(ValueError, match=match):
        opt.step(**dict.fromkeys(opt.closures, lambda: called.append(None)))
    assert not called
    assert bits(model) == before


@pytest.mark.parametrize(
    "rate", [-1.0, math.inf, math.nan, torch.tensor(math.nan), "0.1", None, [0.1]], ids=str
)
@ALL
def test_an_invalid_learning_rate_that_is_written_later_is_rejected(method, rate):
    model = MLP.build(torch.float32)
    opt = method(model, lr=0.1)
    before = bits(model)
    opt.param_groups[0]["lr"] = rate
    with pytest.raises(ValueError, match=r"lr of parameter group 0 must be "):
        opt.step(**dict.fromkeys(opt.closures, MLP.closure(model, 0)))
    assert bits(model) == before


@pytest.mark.parametrize("rate", ["0.1", None, [0.1], True, torch.ones(2), 1j], ids=str)
@ALL
def test_a_learning_rate_that_is_no_number_is_rejected(method, rate):
    with pytest.raises(ValueError, match="lr must be a number, not"):
        method(MLP.build(torch.float32), lr=rate)


ADAM = {"betas": (0.5, 0.9), "eps": 0.1, "weight_decay": 0.2, "lr": 0.05}


@pytest.mark.parametrize("later", [False, True], ids=["built with", "written later"])
def test_adam_honors_the_settings_of_its_groups(later):
    """torch's plain Adam, which is not fused, takes the same steps in float64."""
    ours, theirs = MLP.build(torch.float64), MLP.build(torch.float64)
    groups = [{"params": list(ours[0].parameters())}, {"params": [*ours[2:].parameters()]}]
    groups[1] |= {} if later else ADAM
    opt = Adam(ours, lr=0.1, params=groups)
    opt.param_groups[1].update(ADAM)
    reference = torch.optim.Adam(
        [{"params": list(theirs[0].parameters())}, {"params": [*theirs[2:].parameters()], **ADAM}],
        lr=0.1, foreach=False, fused=False,
    )  # fmt: skip
    for k in range(3):
        opt.step(fo_loss=MLP.closure(ours, k))
        reference.zero_grad()
        MLP.loss(theirs, k).backward()
        reference.step()
    values = [[p.detach() for p in m.parameters()] for m in (ours, theirs)]
    torch.testing.assert_close(*values, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("key", "value"), [("fused", False), ("amsgrad", True), ("maximize", True), ("foreach", True)]
)
def test_adam_rejects_the_variants_that_it_does_not_support(key, value):
    model = MLP.build(torch.float32)
    opt = Adam(model, lr=0.1)
    opt.param_groups[0][key] = value
    with pytest.raises(ValueError, match=f"{key} of parameter group 0 must be"):
        opt.step(fo_loss=MLP.closure(model, 0))


@pytest.mark.parametrize("betas", [0.9, (0.9,), (1.0, 0.9), (-0.1, 0.9), ("a", "b")], ids=str)
def test_adam_rejects_invalid_betas(betas):
    with pytest.raises((ValueError, TypeError), match=r"(?i)betas?|parameter"):
        Adam(MLP.build(torch.float32), lr=0.1, betas=betas)


def test_adam_follows_a_scheduler_that_cycles_its_betas():
    model = MLP.build(torch.float32)
    opt = Adam(model, lr=1e-3)
    schedule = lr_scheduler.OneCycleLR(opt, 1e-3, total_steps=10)
    seen = set()
    for k in range(5):
        opt.step(fo_loss=MLP.closure(model, k))
        schedule.step()
        seen.add(opt.param_groups[0]["betas"])
    assert len(seen) == 5


@pytest.mark.parametrize("method", sorted({*METHODS} - {Adam}, key=lambda m: m.__name__))
def test_a_scheduler_that_cycles_a_momentum_is_rejected(method):
    with pytest.raises(ValueError, match="momentum"):
        lr_scheduler.OneCycleLR(method(nn.Linear(2, 1), lr=0.1), 1e-3, total_steps=10)


@pytest.mark.parametrize("form", ["list", "tensor", "named"])
@ALL
def test_unfrozen_parameters_can_be_added(method, form):
    """From then on, steps equal those of a new method with the same groups, in the same step."""
    forms = {
        "list": lambda layer: {"params": list(layer.parameters()), "lr": 0.05},
        "named": lambda layer: {"params": layer.parameters(), "lr": 0.05, "name": "first"},
        "tensor": lambda layer: {"params": layer.weight, "lr": 0.05},
    }
    models = [MLP.build(torch.float64) for _ in range(2)]
    for model in models:
        model[0].requires_grad_(False)
    opt = method(models[0], lr=0.01)
    for k in range(2):
        opt.step(**dict.fromkeys(opt.closures, MLP.closure(models[0], k)))
    models[1].load_state_dict(models[0].state_dict())
    for model in models:
        model[0].weight.requires_grad_(True)
        model[0].bias.requires_grad_(form != "tensor")
    opt.add_param_group(forms[form](models[0][0]))
    new = method(
        models[1], lr=0.01, params=[{"params": models[1][2:].parameters()}, forms[form](models[1][0])]
    )
    new.steps = opt.steps
    if method is Adam:
        for p, q in zip(models[0][2:].parameters(), models[1][2:].parameters(), strict=True):
            new.state[q] = copy.deepcopy(opt.state[p])
        new.allocate_state(q for q in models[1][0].parameters() if q.requires_grad)
    before = bits(models[0])
    for k in range(2, 4):
        closures = [dict.fromkeys(opt.closures, MLP.closure(model, k)) for model in models]
        opt.step(**closures[0])
        new.step(**closures[1])
    assert bits(models[0]) == bits(models[1])
    assert all(a != b for a, b in zip(bits(models[0])[:1], before[:1], strict=True))
    assert len(opt.state_dict()["param_groups"]) == 2


def test_added_parameters_follow_the_gradient_at_their_rate():
    """Plain gradient descent with a layer that is unfrozen after a step, computed densely in float64."""
    model = MLP.build(torch.float64)
    model[0].requires_grad_(False)
    opt = IPSGD(model, lr=0.1)
    opt.step(fo_loss=MLP.closure(model, 0))
    model[0].requires_grad_(True)
    opt.add_param_group({"params": model[0].parameters(), "lr": 0.3})
    parameters = list(model.parameters())
    grads = torch.autograd.grad(MLP.loss(model, 1), parameters)
    rates = [0.3, 0.3, *[0.1] * 4]
    expected = [p.detach() - r * g for p, r, g in zip(parameters, rates, grads, strict=True)]
    opt.step(fo_loss=MLP.closure(model, 1))
    torch.testing.assert_close([p.detach() for p in parameters], expected, rtol=1e-13, atol=1e-13)


@ALL
def test_other_groups_cannot_be_added(method):
    """The method is unchanged afterward."""
    model = MLP.build(torch.float32)
    model[0].requires_grad_(False)
    opt = method(model, lr=0.1)
    added = {"params": list(model[0].parameters())}
    with pytest.raises(ValueError, match=r"'0\.weight' in the groups is not a trainable parameter"):
        opt.add_param_group(dict(added))
    with pytest.raises(ValueError, match="more than one parameter group"):
        opt.add_param_group({"params": list(model[3].parameters())})
    model[0].requires_grad_(True)
    with pytest.raises(ValueError, match=r"'0\.bias' is in no parameter group"):
        opt.add_param_group({"params": [model[0].weight]})
    with pytest.raises(ValueError, match="would ignore 'momentum' of parameter group 1"):
        opt.add_param_group(added | {"momentum": 0.9})
    assert len(opt.param_groups) == 1
    assert model[0].weight not in opt.indices
    model[0].requires_grad_(False)
    opt.step(**dict.fromkeys(opt.closures, MLP.closure(model, 0)))
