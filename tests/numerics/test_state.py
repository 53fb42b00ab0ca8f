"""Tests of saved state: a resumed run follows the same trajectory as an uninterrupted one, bit for bit."""

import copy
import io

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.utils._pytree import tree_leaves

from addax import Addax
from baselines.adam import Adam
from baselines.ip_sgd import IPSGD
from baselines.mezo import MeZO
from baselines.mezo_svrg import MeZOSVRG
from baselines.sgd import SGD
from benchmarks.profiling.peak_memory import allocator_peak, tensors_of
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
    """Step through `number` batches, starting with batch `first`."""
    for k in range(first, first + number):
        opt.step(**{name: problem.closure(model, k) for name in opt.closures})
        if scheduler is not None:
            scheduler.step()


def through_a_file(state):
    """Save a state and load it with `weights_only=True`, which executes no code from the file."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.parametrize("dtype", [*DTYPES, torch.float64], ids=str)
@METHODS
def test_a_resumed_run_is_the_same_run(method, dtype):
    uninterrupted = TIED.build(dtype)
    opt = MAKE[method](uninterrupted)
    schedule = CosineAnnealingLR(opt, 2 * K)
    steps(opt, uninterrupted, TIED, 0, 2 * K, schedule)

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
    assert bits(resumed) == bits(uninterrupted)
    assert bits(half) != bits(uninterrupted)


@METHODS
def test_the_next_step_depends_on_the_state(method):
    """A new method that starts from the same weights, but without the state, takes a different step."""
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
    """`torch.load(weights_only=True)` can read the state; in float16, it includes a loss scale."""
    model = MLP.build(torch.float16)
    opt = MAKE[method](model)
    steps(opt, model, MLP, 0, K)
    opt.load_state_dict(through_a_file(opt.state_dict()))
    assert opt.steps == K


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_loaded_state_is_copied_once(dtype):
    """Like the move to a GPU, the conversion to another dtype is the copy that the optimizer keeps."""

    def built(dtype):
        model = torch.nn.Linear(512, 512, bias=False, dtype=dtype)
        opt = Adam(model, lr=1e-3)
        opt.publish_state()
        return model, opt

    (_, saved), (model, opt) = built(torch.float32), built(dtype)
    state = saved.state_dict()
    given = [t for t in tree_leaves(state["state"]) if isinstance(t, torch.Tensor)]
    resident = [*tensors_of(model, opt), *given]
    peak = allocator_peak(lambda: opt.load_state_dict(state), resident)["measured_bytes"]
    moments = 2 * model.weight.nbytes
    assert 0 <= peak - sum(t.nbytes for t in resident) - moments < 2**16


@METHODS
def test_a_loaded_state_is_not_modified(method):
    """Two runs that start from the same state in memory give the same result."""
    model = MLP.build(torch.float16)
    opt = MAKE[method](model)
    steps(opt, model, MLP, 0, K)
    state, weights = copy.deepcopy(opt.state_dict()), copy.deepcopy(model.state_dict())
    results = []
    for _ in range(2):
        model.load_state_dict(weights)
        opt = MAKE[method](model)
        opt.load_state_dict(state)
        steps(opt, model, MLP, K, K)
        results.append(bits(model))
    assert results[0] == results[1]


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


def check_rejected(opt, state, match):
    """Check that loading a state raises `ValueError` and leaves the method unchanged."""
    before = copy.deepcopy(opt.state_dict())
    with pytest.raises(ValueError, match=match):
        opt.load_state_dict(state)
    assert str(opt.state_dict()) == str(before)


@METHODS
def test_wrong_states_are_rejected(method):
    model = MLP.build(torch.float32)
    opt = MAKE[method](model)
    check_rejected(opt, torch.optim.SGD(model.parameters(), lr=0.1).state_dict(), type(opt).__name__)
    other = MAKE[method](TIED.build(torch.float32))
    check_rejected(opt, other.state_dict(), "parameter group")


OTHERS = {"addax": "ip-sgd", "mezo": "ip-sgd", "ip-sgd": "mezo", "sgd": "mezo"}


@pytest.mark.parametrize("method", OTHERS)
def test_a_state_of_another_class_is_rejected(method):
    model = MLP.build(torch.float32)
    check_rejected(
        MAKE[method](model), MAKE[OTHERS[method]](model).state_dict(), type(MAKE[method](model)).__name__
    )


def test_an_anchor_of_another_model_is_rejected():
    from torch import nn

    wide, narrow = nn.Linear(6, 2), nn.Linear(3, 2)
    opt, other = MeZOSVRG(narrow, lr=0.1), MeZOSVRG(wide, lr=0.1)
    other.step(full_loss=lambda: wide(torch.ones(1, 6)).sum())
    check_rejected(opt, other.state_dict(), "anchor")


@pytest.mark.parametrize("variants", [("paper", "released"), ("released", "paper")])
def test_a_state_of_another_variant_is_rejected(variants):
    model = MLP.build(torch.float32)
    opt, other = (MeZOSVRG(model, lr=0.1, variant=v) for v in variants)
    other.step(full_loss=MLP.closure(model, 0))
    check_rejected(opt, other.state_dict(), "another variant")


def test_a_loaded_anchor_moves_to_the_parameters_device():
    """The test uses another dtype instead of another device, so that it also runs on a CPU."""
    model = MLP.build(torch.float32)
    opt = MeZOSVRG(model, lr=0.1)
    opt.step(full_loss=MLP.closure(model, 0))
    state = opt.state_dict()
    for entry in state["state"].values():
        entry["anchor"] = entry["anchor"].double()
    other = MeZOSVRG(model, lr=0.1)
    other.load_state_dict(state)
    assert all(torch.equal(a, b) for a, b in zip(other.anchor, opt.anchor, strict=True))
    assert {a.dtype for a in other.anchor} == {torch.float32}
