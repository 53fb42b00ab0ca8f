"""No step waits for its device: on the meta device, which holds no values, nobody can look at one."""

import pytest
import torch
from torch import nn

from addax import noise
from addax import optimizer as method
from addax.validation import trainable
from benchmarks.registry import files
from tests.baselines.test_methods import class_of

# Adam's step is torch's own, which the meta device has none of; MeZO-SVRG looks at its anchor step alone,
# where the host decides whose seed to keep.
METHODS = sorted(set(files("method")) - {"adam", "mezo-svrg"})


@pytest.fixture(autouse=True)
def on_meta(monkeypatch):
    """Noise without values, and parameters that may lie on the meta device."""
    monkeypatch.setattr(noise, "normal", lambda _s, _i, _b, numel, device: torch.empty(numel, device=device))
    monkeypatch.setattr(
        noise,
        "random_bits",
        lambda _s, _i, _b, numel, device: torch.empty(numel, device=device, dtype=torch.int32),
    )
    monkeypatch.setattr(method, "trainable", lambda model: {p: i for i, p in enumerate(model.parameters())})


def build(dtype):
    """A model and a loss without values."""
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1)).to(device="meta", dtype=dtype)
    x = torch.empty(3, 4, device="meta", dtype=dtype)
    return model, lambda: model(x).float().square().mean()


@pytest.mark.medium
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("name", METHODS)
def test_a_step_never_reads_a_value_from_the_device(name, dtype):
    model, loss = build(dtype)
    made = class_of(name)
    # The first step's check compares addresses, and a meta tensor has none.
    opt = made(model, lr=1e-3, **({"check": False} if "zo_loss" in made.closures else {}))
    for _ in range(opt.MEASURE_EVERY + 1):
        stats = opt.step(**dict.fromkeys(opt.closures, loss))
    assert opt.steps == opt.MEASURE_EVERY + 1
    for seen in (stats.loss, stats.skipped, opt.skipped_steps):
        with pytest.raises(RuntimeError, match=r"\.item\(\) cannot be called on meta tensors"):
            bool(seen)


def test_meta_parameters_are_refused_without_the_fixture():
    """So that the fixture is what lets them in."""
    with pytest.raises(ValueError, match=r"'0\.weight' is offloaded"):
        trainable(build(torch.float32)[0])
