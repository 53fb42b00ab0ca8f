"""Tests with LoRA adapters of peft: every method perturbs and updates the adapters and nothing else.

`test_oracle.py` compares each method's arithmetic on adapters with the dense oracle (the problem `lora`).
"""

import pytest
import torch

from addax.small_tensors import KeptNoise
from addax.spsa import PerturbedForward
from benchmarks.registry import files
from tests.baselines.test_methods import class_of
from tests.numerics.oracle import (
    LORA,
    Dense,
    Problem,
    bits,
    check_unmoved,
    llama_model,
    lora_model,
    opt_model,
)

METHODS = pytest.mark.parametrize("method", sorted(files("method")))
BUILDS = pytest.mark.parametrize("build", [opt_model, llama_model])


def parts(model):
    """Return the names of the adapters' weights, and the names of all other weights."""
    names = [name for name, _ in model.named_parameters()]
    adapters = {name for name in names if "lora_" in name}
    return adapters, set(names) - adapters


def moved(model, before):
    """Return the names of the parameters whose bits have changed."""
    names = [name for name, _ in model.named_parameters()]
    return {n for n, old, new in zip(names, before, bits(model), strict=True) if old != new}


@METHODS
@BUILDS
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_only_adapters_move(method, build, dtype):
    """All adapters change, and the base weights keep every bit. peft keeps adapters in float32."""
    model = lora_model(dtype, build)
    adapters, rest = parts(model)
    assert len(adapters) == 8
    assert {p.dtype for n, p in model.named_parameters() if n in rest} == {dtype}
    before = bits(model)
    opt = class_of(method)(model, lr=1e-2)
    for k in range(3):
        stats = opt.step(**{name: LORA.closure(model, k) for name in opt.closures})
        assert not stats.skipped
    assert moved(model, before) == adapters
    assert all(p.grad is None for p in model.parameters())
    assert {n for p, n in opt.names.items()} == adapters


@METHODS
def test_a_frozen_adapter_does_not_move(method):
    """Methods update exactly the parameters with `requires_grad`, even if peft did not set it."""
    model = lora_model(torch.float32)
    for name, p in model.named_parameters():
        p.requires_grad_("lora_B" in name and "layers.1" in name)
    before = bits(model)
    opt = class_of(method)(model, lr=1e-2)
    opt.step(**{name: LORA.closure(model, 0) for name in opt.closures})
    assert moved(model, before) == {n for n, p in model.named_parameters() if p.requires_grad}


KINDS = {
    "linear": {"target_modules": ["q_proj", "v_proj"]},
    "embedding": {"target_modules": ["embed_tokens", "q_proj"]},
    "magnitudes": {"target_modules": ["q_proj", "v_proj"], "use_dora": True},
    "fully trained modules": {"target_modules": "all-linear", "modules_to_save": ["final_layer_norm"]},
    "rows of the embedding": {"target_modules": ["q_proj"], "trainable_token_indices": [3, 4]},
    "biases": {"target_modules": ["q_proj"], "bias": "lora_only"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_adapter_is_perturbed(kind):
    """The estimate equals that of a dense copy with perturbed weights, in float64."""
    problem = Problem(kind, lambda dtype: lora_model(dtype, **KINDS[kind]).to(dtype), LORA.loss)
    model = problem.build(torch.float64)
    dense, eps, seed = Dense(model, problem), 1e-3, 17
    indices = {p: i for i, p in enumerate(model.parameters()) if p.requires_grad}
    perturbed = PerturbedForward(model, KeptNoise(indices, "normal"))
    estimates = []
    check_unmoved(model, lambda: estimates.append(perturbed.estimate(problem.closure(model, 0), eps, seed)))
    z = dense.z(seed)
    assert estimates[0].projected_grad.item() == pytest.approx(dense.g0(0, eps, z), rel=1e-9, abs=1e-10)
    # Each parameter contributes: without its part of z, the oracle gives a different result.
    for name in z:
        without = z | {name: torch.zeros_like(z[name])}
        assert abs(dense.g0(0, eps, without) - estimates[0].projected_grad.item()) > 1e-9
