"""Tests that the modes in which a closure or a step runs change no number and no later step."""

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from addax import Addax, noise
from baselines.ip_sgd import IPSGD
from baselines.mezo import MeZO
from baselines.mezo_svrg import MeZOSVRG
from tests.numerics.oracle import DTYPES, MLP, OPT, TIED, Dense, bits, fill


@pytest.fixture(autouse=True)
def _no_cached_memory():
    """Let the first use of noise's memory happen in the test."""
    noise.workspace.buffers.clear()
    yield
    noise.workspace.buffers.clear()


@pytest.mark.parametrize("problem", [MLP, TIED, OPT], ids=lambda p: p.name)
def test_a_loss_in_inference_mode_equals_the_oracle(problem):
    model = problem.build(torch.float64)
    opt, dense = MeZO(model, lr=1e-3), Dense(model, problem)
    for _ in range(2):
        z = dense.z(opt.step_seed())
        expected = dense.g0(0, opt.eps, z)
        g0 = opt.step(zo_loss=torch.inference_mode()(problem.closure(model, 0))).projected_grad
        assert g0.item() == pytest.approx(expected, rel=1e-8)
        dense.move(1e-3, {name: expected * z[name] for name in z})


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_inference_mode_changes_no_bit_of_a_step_nor_of_later_steps(dtype):
    inference, plain = MLP.build(dtype), MLP.build(dtype)
    for method, names in ((MeZO, ["zo_loss"]), (Addax, ["zo_loss", "fo_loss"]), (IPSGD, ["fo_loss"])):
        for model in (inference, plain):
            closure = MLP.closure(model, 0)
            wrapped = torch.inference_mode()(closure) if model is inference else closure
            losses = {name: wrapped if name == "zo_loss" else closure for name in names}
            opt = method(model, lr=1e-2)
            for _ in range(2):
                opt.step(**losses)
    assert bits(inference) == bits(plain)


@pytest.mark.parametrize("method", [MeZO, MeZOSVRG])
def test_a_whole_step_in_inference_mode_leaves_later_steps_unchanged(method):
    models = [MLP.build(torch.bfloat16) for _ in range(2)]
    for model, mode in zip(models, (torch.inference_mode, torch.no_grad), strict=True):
        opt, closure = method(model, lr=1e-2), MLP.closure(model, 0)
        with mode():
            for _ in range(2):
                opt.step(**dict.fromkeys(method.closures, closure))
        for _ in range(2):
            opt.step(**dict.fromkeys(method.closures, closure))
    assert bits(models[0]) == bits(models[1])


def test_a_step_on_fake_tensors_leaves_no_fake_memory_behind():
    """Such as one that only measures shapes."""
    with FakeTensorMode():
        fake = nn.Linear(4, 1)
        MeZO(fake, lr=1e-2).estimate(lambda: fake(torch.ones(2, 4)).mean())
    model = fill(nn.Linear(4, 1), torch.float32)
    MeZO(model, lr=1e-2).step(zo_loss=lambda: model(torch.ones(2, 4)).mean())
    IPSGD(model, lr=1e-2).step(fo_loss=lambda: model(torch.ones(2, 4)).mean())
    assert all(type(buffer) is torch.Tensor for buffer in noise.workspace.buffers.values())
