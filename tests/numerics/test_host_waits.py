"""Tests that no step waits for its device, on the meta device, where reading a value raises an error."""

import pytest
import torch
from torch import nn

from addax import noise
from addax import optimizer as method
from addax.validation import trainable
from benchmarks.registry import files
from tests.baselines.test_methods import class_of

# Adam calls torch's fused step, which does not support the meta device. MeZO-SVRG reads a value from the
# device at anchor steps only, because the host decides which seed to keep.
METHODS = sorted(set(files("method")) - {"adam", "mezo-svrg"})


@pytest.fixture(autouse=True)
def on_meta(monkeypatch):
    """Replace the noise with empty tensors, and accept parameters on the meta device."""
    monkeypatch.setattr(
        noise, "direction", lambda _s, _i, _b, numel, device, _kind: torch.empty(numel, device=device)
    )
    monkeypatch.setattr(
        noise,
        "draw_first_blocks",
        lambda _s, sizes, device, _kind: [torch.empty(numel, device=device) for _, numel in sizes],
    )
    monkeypatch.setattr(
        noise,
        "random_bits",
        lambda _s, _i, _b, numel, device: torch.empty(numel, device=device, dtype=torch.int32),
    )
    monkeypatch.setattr(method, "trainable", lambda model: {p: i for i, p in enumerate(model.parameters())})


def build(dtype):
    """Return a model on the meta device and its loss closure."""
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1)).to(device="meta", dtype=dtype)
    x = torch.empty(3, 4, device="meta", dtype=dtype)
    return model, lambda: model(x).float().square().mean()


@pytest.mark.medium
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("name", METHODS)
def test_a_step_never_reads_a_value_from_the_device(name, dtype):
    model, loss = build(dtype)
    cls = class_of(name)
    opt = cls(model, lr=1e-3)
    for _ in range(opt.MEASURE_EVERY + 1):
        stats = opt.step(**dict.fromkeys(opt.closures, loss))
    assert opt.steps == opt.MEASURE_EVERY + 1
    for value in (stats.loss, stats.skipped, opt.skipped_steps):
        with pytest.raises(RuntimeError, match=r"\.item\(\) cannot be called on meta tensors"):
            bool(value)


def test_meta_parameters_are_rejected_by_default():
    """The fixture of this module patches the optimizer's check; the original check still rejects them."""
    with pytest.raises(ValueError, match=r"'0\.weight' is offloaded"):
        trainable(build(torch.float32)[0])
