"""Tests of the warning about cuDNN's attention, with simulated GPUs."""

import warnings

import pytest
import torch
from torch import nn

from addax import Addax, tracked_parameters
from addax.attention import warn_of_cudnn
from baselines.ip_sgd import IPSGD
from baselines.mezo import MeZO
from tests.numerics.oracle import opt_model

CUDA = torch.device("cuda", 0)


@pytest.fixture
def hopper(monkeypatch):
    """Simulate an H100 with the cuDNN of torch 2.13, and cuDNN's attention at its default."""
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 92000)
    before = torch.backends.cuda.cudnn_sdp_enabled()
    torch.backends.cuda.enable_cudnn_sdp(True)
    yield monkeypatch
    torch.backends.cuda.enable_cudnn_sdp(before)


def attention():
    return nn.TransformerEncoderLayer(d_model=4, nhead=2)


def eager():
    model = opt_model(torch.float32)
    model.set_attn_implementation("eager")
    return model


def silent(model, device=CUDA):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_cudnn(model, [device])
    return True


@pytest.mark.parametrize("build", [lambda: opt_model(torch.float32), attention])
def test_a_model_with_attention_on_hopper_gets_the_remedy(hopper, build):
    with pytest.warns(UserWarning, match=r"call torch\.backends\.cuda\.enable_cudnn_sdp\(False\)") as caught:
        warn_of_cudnn(build(), [CUDA, CUDA])
    assert len(caught) == 1
    assert "\n" not in str(caught[0].message)


@pytest.mark.parametrize("build", [lambda: nn.Linear(2, 2), eager])
def test_a_model_without_fused_attention_gets_no_warning(hopper, build):
    assert silent(build())


def test_other_devices_and_settings_get_no_warning(hopper):
    model = attention()
    assert silent(model, torch.device("cpu"))
    hopper.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    assert silent(model)
    hopper.setattr(torch.cuda, "get_device_capability", lambda device: (10, 0))
    hopper.setattr(torch.backends.cudnn, "version", lambda: 91500)
    assert silent(model)
    hopper.setattr(torch.backends.cudnn, "version", lambda: 92000)
    torch.backends.cuda.enable_cudnn_sdp(False)
    assert silent(model)


@pytest.fixture
def checked(monkeypatch):
    """Record the models and devices that are checked."""
    calls = []
    monkeypatch.setattr(tracked_parameters, "warn_of_cudnn", lambda *call: calls.append(call))
    return calls


def test_methods_with_a_backward_pass_check_where_their_model_is(checked):
    model = attention()
    MeZO(model, lr=1e-3)
    assert checked == []
    for method_class in (Addax, IPSGD):
        method_class(model, lr=1e-3)
        assert checked.pop() == (model, {torch.device("cpu")})


def test_a_method_that_follows_its_model_checks_again(checked):
    model = nn.Linear(2, 2)
    method = IPSGD(model, lr=1e-3)
    checked.clear()
    method.follow()
    assert checked == []
    for p in model.parameters():
        # Unlike `module.to("meta")`, this keeps the parameter object, as `module.to("cuda")` does.
        torch.utils.swap_tensors(p, nn.Parameter(p.detach().to("meta")))
    method.follow()
    assert checked == [(model, {torch.device("meta")})]
