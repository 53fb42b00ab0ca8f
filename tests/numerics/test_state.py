"""A run stopped anywhere and resumed follows the same trajectory, bit for bit."""

import copy
import io

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR

from addax import Addax
from baselines.adam import Adam
from baselines.ip_sgd import IPSGD
from baselines.mezo import MeZO
from baselines.mezo_svrg import MeZOSVRG
from baselines.sgd import SGD
from tests.numerics.oracle import DTYPES, MLP, TIED, bits

MAKE = {
    "addax": lambda m: Addax(m, lr=1e-2, alpha=0.5, seed=4),
    "mezo": lambda m: MeZO(m, lr=1e-3, seed=4),
    "mezo-svrg": lambda m: MeZOSVRG(m, lr=1e-3, lr_ratio=0.5, seed=4),
    "mezo-svrg released": lambda m: MeZOSVRG(m, lr=1e-3, lr_ratio=0.5, seed=4, variant="released"),
    "ip-sgd": lambda m: IPSGD(m, lr=1e-2, seed=4),
    "sgd": lambda m: SGD(m, lr=1e-2, seed=4),
    "adam": lambda m: Adam(m, lr=1e-3),
}
METHODS = pytest.mark.parametrize("method", MAKE)
# Odd, so that MeZO-SVRG (q = 2) is saved between its full-batch step and the minibatch step after it.
K = 3


def steps(opt, model, problem, first, number, scheduler=None):
    """Steps `number` batches from `first` on."""
    for k in range(first, first + number):
        opt.step(**{name: problem.closure(model, k) for name in opt.closures})
        if scheduler is not None:
            scheduler.step()


def through_a_file(state):
    """What is read back of a state that was saved, by the reader that runs no code of the file's."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.parametrize("dtype", [*DTYPES, torch.float64], ids=str)
@METHODS
def test_a_resumed_run_is_the_same_run(method, dtype):
    whole = TIED.build(dtype)
    opt = MAKE[method](whole)
    schedule = CosineAnnealingLR(opt, 2 * K)
    steps(opt, whole, TIED, 0, 2 * K, schedule)

    half = TIED.build(dtype)
    opt = MAKE[method](half)
    schedule = CosineAnnealingLR(opt, 2 * K)
    steps(opt, half, TIED, 0, K, schedule)
    saved = through_a_file(
        {"model": half.state_dict(), "method": opt.state_dict(), "schedule": schedule.state_dict()}
    )

    resumed = TIED.build(dtype)
    with torch.no_grad():
        for p in resumed.parameters():
            p.zero_()
    opt = MAKE[method](resumed)
    schedule = CosineAnnealingLR(opt, 2 * K)
    resumed.load_state_dict(saved["model"])
    opt.load_state_dict(saved["method"])
    schedule.load_state_dict(saved["schedule"])
    steps(opt, resumed, TIED, K, K, schedule)
    assert bits(resumed) == bits(whole)
    assert bits(half) != bits(whole)


@METHODS
def test_every_part_of_the_state_matters_or_is_a_counter(method):
    """A fresh method on the saved weights goes elsewhere, unless all that its step keeps is theta."""
    model = MLP.build(torch.bfloat16)
    opt = MAKE[method](model)
    steps(opt, model, MLP, 0, K)
    fresh = copy.deepcopy(model)
    steps(MAKE[method](fresh), fresh, MLP, K, 1)
    steps(opt, model, MLP, K, 1)
    assert bits(fresh) != bits(model)


@METHODS
def test_the_seed_is_part_of_the_state(method):
    model = MLP.build(torch.bfloat16)
    opt, other = MAKE[method](model), MAKE[method](copy.deepcopy(model))
    other.seed = 99
    other.load_state_dict(opt.state_dict())
    assert other.step_seed() == opt.step_seed()


@METHODS
def test_a_state_holds_plain_data_only(method):
    """So that `torch.load` reads it without unpickling code; float16 has a loss scale too."""
    model = MLP.build(torch.float16)
    opt = MAKE[method](model)
    steps(opt, model, MLP, 0, K)
    opt.load_state_dict(through_a_file(opt.state_dict()))
    assert opt.steps == K


@METHODS
def test_a_loaded_state_is_not_written_into(method):
    """One state in memory starts two runs."""
    model = MLP.build(torch.float16)
    opt = MAKE[method](model)
    steps(opt, model, MLP, 0, K)
    held, weights = copy.deepcopy(opt.state_dict()), copy.deepcopy(model.state_dict())
    ends = []
    for _ in range(2):
        model.load_state_dict(weights)
        opt = MAKE[method](model)
        opt.load_state_dict(held)
        steps(opt, model, MLP, K, K)
        ends.append(bits(model))
    assert ends[0] == ends[1]


@METHODS
def test_counters_are_saved(method):
    model = MLP.build(torch.float32)
    opt = MAKE[method](model)
    nan = {name: lambda: MLP.loss(model, 0) * float("nan") for name in opt.closures}
    opt.step(**nan)
    opt.step(**nan)
    fresh = MAKE[method](model)
    fresh.load_state_dict(through_a_file(opt.state_dict()))
    assert (int(fresh.skipped_steps), int(fresh.consecutive_skips), fresh.steps) == (2, 2, 2)


def refused(opt, state, match):
    """A state that raises `ValueError` and leaves the method as it was."""
    before = copy.deepcopy(opt.state_dict())
    with pytest.raises(ValueError, match=match):
        opt.load_state_dict(state)
    assert str(opt.state_dict()) == str(before)


@METHODS
def test_wrong_states_are_refused(method):
    model = MLP.build(torch.float32)
    opt = MAKE[method](model)
    refused(opt, torch.optim.SGD(model.parameters(), lr=0.1).state_dict(), type(opt).__name__)
    other = MAKE[method](TIED.build(torch.float32))
    refused(opt, other.state_dict(), "parameter group")


OTHERS = {"addax": "ip-sgd", "mezo": "ip-sgd", "ip-sgd": "mezo", "sgd": "mezo"}


@pytest.mark.parametrize("method", OTHERS)
def test_a_state_of_another_class_is_refused(method):
    model = MLP.build(torch.float32)
    refused(MAKE[method](model), MAKE[OTHERS[method]](model).state_dict(), type(MAKE[method](model)).__name__)


def test_an_anchor_of_another_model_is_refused():
    from torch import nn

    wide, narrow = nn.Linear(6, 2), nn.Linear(3, 2)
    opt, other = MeZOSVRG(narrow, lr=0.1), MeZOSVRG(wide, lr=0.1)
    other.step(full_loss=lambda: wide(torch.ones(1, 6)).sum())
    refused(opt, other.state_dict(), "anchor")


@pytest.mark.parametrize("variants", [("paper", "released"), ("released", "paper")])
def test_a_state_of_another_variant_is_refused(variants):
    model = MLP.build(torch.float32)
    opt, other = (MeZOSVRG(model, lr=0.1, variant=v) for v in variants)
    other.step(full_loss=MLP.closure(model, 0))
    refused(opt, other.state_dict(), "another variant")


def test_a_loaded_anchor_moves_to_the_parameters_device():
    """Read in another dtype, which stands for another device here."""
    model = MLP.build(torch.float32)
    opt = MeZOSVRG(model, lr=0.1)
    opt.step(full_loss=MLP.closure(model, 0))
    state = opt.state_dict()
    state["method"]["anchor"] = [a.double() for a in state["method"]["anchor"]]
    other = MeZOSVRG(model, lr=0.1)
    other.load_state_dict(state)
    assert all(torch.equal(a, b) for a, b in zip(other.anchor, opt.anchor, strict=True))
    assert {a.dtype for a in other.anchor} == {torch.float32}
