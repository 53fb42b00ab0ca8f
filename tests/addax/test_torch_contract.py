"""Tests that every method is a torch optimizer for code that knows only torch's interface."""

import copy
import inspect
import io
import pickle
import sys

import pytest
import torch
import torch.distributed.checkpoint as dcp
from torch import nn
from torch.distributed.checkpoint import state_dict as dcp_state
from torch.distributed.checkpoint.state_dict import StateDictOptions
from torch.optim import lr_scheduler, swa_utils

from benchmarks.registry import files
from tests.baselines.test_methods import class_of
from tests.numerics.oracle import MLP, TIED, bits

METHODS = pytest.mark.parametrize("method", sorted(files("method")))
DTYPES = pytest.mark.parametrize("dtype", [torch.float16, torch.float32], ids=str)


def build(method, model, **options):
    """Build a method with a seed and a learning rate that changes 16-bit weights."""
    cls = class_of(method)
    return cls(model, lr=1e-2, **({"seed": 4} if "seed" in cls.arguments() else {}), **options)


def steps(opt, model, first, number, problem=TIED):
    """Take steps on numbered batches."""
    for k in range(first, first + number):
        opt.step(**{name: problem.closure(model, k) for name in opt.closures})


def started(method, dtype, number=3):
    """Return a model and a method that has taken an odd number of steps."""
    model = TIED.build(dtype)
    opt = build(method, model)
    steps(opt, model, 0, number)
    return model, opt


def through_a_file(value):
    """Save an object with torch and load it."""
    file = io.BytesIO()
    torch.save(value, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


COPIES = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda pair: pickle.loads(pickle.dumps(pair)),
    "file": through_a_file,
}


@pytest.mark.parametrize("kind", COPIES)
@DTYPES
@METHODS
def test_a_copy_of_model_and_method_continues_like_the_original(method, dtype, kind):
    model, opt = started(method, dtype)
    other_model, other = COPIES[kind]((model, opt))
    before = bits(model)
    steps(other, other_model, 3, 3)
    assert bits(model) == before, "the copy moved the original"
    steps(opt, model, 3, 3)
    assert bits(other_model) == bits(model) != before
    assert (other.steps, other.seed) == (opt.steps, opt.seed)


@pytest.mark.parametrize("kind", COPIES)
@METHODS
def test_a_copy_of_a_method_alone_has_its_own_model(method, kind):
    model, opt = started(method, torch.float32)
    other = COPIES[kind](opt)
    assert other.model is not model
    assert set(other.indices) == set(other.model.parameters())
    assert other.param_groups[0]["params"] == list(other.indices)
    steps(other, other.model, 3, 2)
    steps(opt, model, 3, 2)
    assert bits(other.model) == bits(model)


def test_a_first_order_loss_of_the_original_model_is_rejected_by_a_copy():
    model, opt = started("ip-sgd", torch.float32)
    with pytest.raises(
        ValueError, match=r"does not depend on trainable .*a copied method has its own.*\.model"
    ):
        steps(copy.deepcopy(opt), model, 3, 1)


@METHODS
def test_a_copy_under_a_scheduler_steps_its_own_model(method):
    """A scheduler patches the `step` of its optimizer. A copy does not inherit the patch."""
    model, opt = started(method, torch.float32)
    lr_scheduler.StepLR(opt, 1)
    before = bits(model)
    other_model, other = copy.deepcopy((model, opt))
    steps(other, other_model, 3, 1)
    assert bits(model) == before != bits(other_model)
    pickle.dumps(opt)


def test_a_method_with_a_process_group_names_what_to_pickle():
    opt = build("mezo", MLP.build(torch.float32))
    opt.process_group = object()
    with pytest.raises(TypeError, match=r"cannot be pickled: save MeZO\.state_dict\(\) instead"):
        pickle.dumps(opt)
    assert copy.deepcopy(opt).process_group is opt.process_group


OPTIONS = {
    "default": StateDictOptions(),
    "flat": StateDictOptions(flatten_optimizer_state_dict=True),
    "on the host": StateDictOptions(cpu_offload=True),
    "full": StateDictOptions(full_state_dict=True),
}


@pytest.mark.parametrize("options", OPTIONS)
@DTYPES
@METHODS
def test_a_distributed_checkpoint_continues_like_the_original(method, dtype, options, tmp_path):
    options = OPTIONS[options]
    model, opt = started(method, dtype)
    weights, state = dcp_state.get_state_dict(model, opt, options=options)
    dcp.save({"model": weights, "optimizer": state}, checkpoint_id=tmp_path / "saved", no_dist=True)
    steps(opt, model, 3, 3)

    resumed = TIED.build(dtype)
    with torch.no_grad():
        for p in resumed.parameters():
            p.zero_()
    other = build(method, resumed)
    weights, state = dcp_state.get_state_dict(resumed, other, options=options)
    loaded = {"model": weights, "optimizer": state}
    dcp.load(loaded, checkpoint_id=tmp_path / "saved", no_dist=True)
    dcp_state.set_state_dict(
        resumed,
        other,
        model_state_dict=loaded["model"],
        optim_state_dict=loaded["optimizer"],
        options=options,
    )
    steps(other, resumed, 3, 3)
    assert bits(resumed) == bits(model)
    assert other.steps == opt.steps


@METHODS
def test_reading_the_state_of_a_new_method_does_not_change_its_steps(method):
    plain, read = TIED.build(torch.float32), TIED.build(torch.float32)
    opt, other = build(method, plain), build(method, read)
    dcp_state.get_optimizer_state_dict(read, other)
    assert bits(read) == bits(plain)
    assert other.steps == 0
    steps(opt, plain, 0, 3)
    steps(other, read, 0, 3)
    assert bits(read) == bits(plain)


@METHODS
def test_a_state_for_another_shape_is_rejected(method):
    """A method without tensors for each parameter has nothing that could have another shape."""
    wide, narrow = nn.Linear(6, 2), nn.Linear(3, 2)
    opt, other = build(method, narrow), build(method, wide)
    other.step(**dict.fromkeys(other.closures, lambda: wide(torch.ones(1, 6)).sum()))
    shaped = [key for key, value in other.state[wide.weight].items() if getattr(value, "ndim", 0)]
    if shaped:
        with pytest.raises(ValueError, match=rf"{shaped[0]} of parameter 'weight' has shape \(2, 6\)"):
            opt.load_state_dict(other.state_dict())
        assert opt.steps == 0


@METHODS
def test_step_hooks_run_once_per_step_with_the_arguments(method):
    torch.optim.Adam([nn.Parameter(torch.zeros(1))])  # torch then wraps its own Adam.step
    model = MLP.build(torch.float32)
    opt = build(method, model)
    seen = []
    opt.register_step_pre_hook(lambda o, args, kwargs: seen.append(("pre", o is opt, set(kwargs))))
    opt.register_step_post_hook(lambda o, args, kwargs: seen.append(("post", o is opt, set(kwargs))))
    steps(opt, model, 0, 2, MLP)
    assert seen == [("pre", True, set(opt.closures)), ("post", True, set(opt.closures))] * 2


@METHODS
def test_repr_names_the_groups_and_state_holds_only_parameters(method):
    model, opt = started(method, torch.float32)
    assert "lr: 0.01" in repr(opt)
    assert set(opt.state) == set(model.parameters())
    assert opt.zero_grad() is None


@pytest.mark.skipif(sys.version_info < (3, 11, 5), reason="inspect takes an inherited __new__ first")
@METHODS
def test_the_signature_is_that_of_the_constructor(method):
    assert list(inspect.signature(class_of(method)).parameters)[:2] == ["model", "lr"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@METHODS
def test_a_learning_rate_may_be_a_tensor(method, dtype):
    """Steps equal those with the number, and a scheduler changes the tensor in place."""
    ends = []
    for rate in (0.25, torch.tensor(0.25)):
        model = MLP.build(dtype)
        opt = class_of(method)(model, lr=rate)
        schedule = lr_scheduler.ExponentialLR(opt, 0.5)
        for k in range(3):
            steps(opt, model, k, 1, MLP)
            schedule.step()
        ends.append([p.detach().clone() for p in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))


@METHODS
def test_a_learning_rate_tensor_is_the_learning_rate(method):
    """A step of plain gradient descent, in float64, has exactly this length."""
    if method not in ("ip-sgd", "sgd"):
        return
    model = MLP.build(torch.float64)
    grads = torch.autograd.grad(MLP.loss(model, 0), list(model.parameters()))
    expected = [p.detach() - 0.5 * g for p, g in zip(model.parameters(), grads, strict=True)]
    opt = class_of(method)(model, lr=0.1)
    opt.param_groups[0]["lr"] = torch.tensor(0.5)
    steps(opt, model, 0, 1, MLP)
    torch.testing.assert_close([p.detach() for p in model.parameters()], expected, rtol=1e-14, atol=1e-14)


def test_stochastic_weight_averaging_averages_the_models_weights():
    model = MLP.build(torch.float64)
    opt = build("addax", model)
    average = swa_utils.AveragedModel(model)
    schedule = swa_utils.SWALR(opt, swa_lr=0.005, anneal_epochs=2)
    seen = []
    for k in range(3):
        steps(opt, model, k, 1, MLP)
        schedule.step()
        average.update_parameters(model)
        seen.append([p.detach().clone() for p in model.parameters()])
    means = [torch.stack(values).mean(0) for values in zip(*seen, strict=True)]
    torch.testing.assert_close([p.detach() for p in average.module.parameters()], means)


@METHODS
def test_a_grad_scaler_is_rejected_by_name_and_does_not_affect_the_next_step(method):
    model = MLP.build(torch.float32)
    opt = build(method, model)
    scaler = torch.amp.GradScaler("cpu")
    scaler.scale(MLP.loss(model, 0)).backward()
    before = bits(model)
    with pytest.raises(ValueError, match=r"GradScaler called .* call opt\.step without the scaler"):
        scaler.step(opt)
    assert bits(model) == before
    opt.zero_grad()
    steps(opt, model, 0, 1, MLP)
    assert bits(model) != before


@METHODS
def test_a_disabled_grad_scaler_passes_the_losses_on(method):
    ends = []
    for scaled in (False, True):
        model = MLP.build(torch.float32)
        opt = build(method, model)
        losses = dict.fromkeys(opt.closures, MLP.closure(model, 0))
        if scaled:
            torch.amp.GradScaler("cpu", enabled=False).step(opt, **losses)
        else:
            opt.step(**losses)
        ends.append(bits(model))
    assert ends[0] == ends[1]
