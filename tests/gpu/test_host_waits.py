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

METHODS = sorted(files("method"))
MODELS = [("opt", "float32"), ("opt", "float16"), *((f, "bfloat16") for f in ("opt", "llama", "roberta"))]
# In the anchor steps of MeZO-SVRG, the host decides which seed to keep.
ANCHORED = "mezo-svrg"
# On the meta device, operators are slow, and methods call models in the same ways.
ON_META = [(m, *on) for m in METHODS for on in MODELS if m == "addax" or (on[0] == "opt" and m != ANCHORED)]


def step_of(method, family, dtype, device, **settings):
    """Return a repeatable step on padded batches of a small model."""
    model = "nano-roberta" if family == "roberta" else "nano-opt"
    spec = from_dict(
        {"method": method, "model": model, "task": "sst2", "steps": 1, "lr": 1e-6, "dtype": dtype} | settings
    )
    batch = synthetic([24, 17, 24])
    return DryStep(spec, config_of(family), dict.fromkeys(("zo", "fo", "full"), batch), device)


@pytest.mark.medium
@pytest.mark.parametrize(("method", "family", "dtype"), ON_META)
def test_no_step_reads_a_value(method, family, dtype, monkeypatch):
    """The steps include one that measures the realized fraction, and one that does not."""
    with shape_only("cuda"):
        step = step_of(method, family, dtype, "meta")
        monkeypatch.setattr(type(step.optimizer), "MEASURE_EVERY", 2)
        for _ in range(3):
            step.step()


@pytest.mark.parametrize(("family", "dtype"), MODELS)
@pytest.mark.parametrize("method", [pytest.param(name, marks=NEEDS_CUDA) for name in METHODS])
def test_no_step_waits_for_the_gpu(method, family, dtype):
    step = step_of(method, family, dtype, "cuda")
    # The first step checks for weights that are read outside their modules, and loads kernels.
    step.step()
    before = torch.cuda.get_sync_debug_mode()
    try:
        # The step after `MEASURE_EVERY` others measures the realized fraction.
        while step.optimizer.steps <= step.optimizer.MEASURE_EVERY:
            anchor = "full_loss" in step.optimizer.next_closures()
            torch.cuda.set_sync_debug_mode("default" if anchor else "error")
            step.step()
    finally:
        torch.cuda.set_sync_debug_mode(before)
    assert step.optimizer.steps == step.optimizer.MEASURE_EVERY + 1
