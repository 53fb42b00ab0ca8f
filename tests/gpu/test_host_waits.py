"""Tests that no step makes the host wait for the GPU, with models of transformers through the scorer.

In place of a GPU, tensors are on the meta device, where reading a value raises an error.
"""

import pytest
import torch

from addax.memory.shape_only import shape_only
from benchmarks.config.spec import from_dict
from benchmarks.memory.dry_step import DryStep, synthetic
from benchmarks.registry import files
from tests.gpu.conftest import NEEDS_CUDA
from tests.gpu.small_models import config_of

# Step 16 measures the realized fraction.
STEPS = 17
METHODS = sorted(files("method"))
MODELS = pytest.mark.parametrize(
    ("family", "dtype"),
    [("opt", "float32"), ("opt", "float16"), *((f, "bfloat16") for f in ("opt", "llama", "roberta"))],
)


def step_of(method, family, dtype, device, **settings):
    """Return a repeatable step on padded batches of a small model."""
    model = "nano-roberta" if family == "roberta" else "nano-opt"
    spec = from_dict(
        {"method": method, "model": model, "task": "sst2", "steps": STEPS, "lr": 1e-6, "dtype": dtype}
        | settings
    )
    batch = synthetic([24, 17, 24])
    return DryStep(spec, config_of(family), dict.fromkeys(("zo", "fo", "full"), batch), device)


def waits(step):
    """Return whether the next step may wait: an anchor step keeps the seed that the host chose."""
    return "full_loss" in step.optimizer.next_closures()


@MODELS
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("device", ["meta", pytest.param("cuda", marks=NEEDS_CUDA)])
def test_no_step_waits_for_the_gpu(method, family, dtype, device):
    if device == "meta":
        with shape_only("cuda"):
            step = step_of(method, family, dtype, device)
            for _ in range(STEPS):
                step.step()
        return
    step = step_of(method, family, dtype, device)
    # The first step checks for weights that are read outside their modules, and loads kernels.
    step.step()
    before = torch.cuda.get_sync_debug_mode()
    try:
        for _ in range(STEPS - 1):
            torch.cuda.set_sync_debug_mode("default" if waits(step) else "error")
            step.step()
    finally:
        torch.cuda.set_sync_debug_mode(before)
    assert step.optimizer.steps == STEPS
