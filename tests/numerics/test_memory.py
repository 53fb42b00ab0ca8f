"""What a step holds beyond theta and activations, measured with the tracker on a model of 24 layers."""

import math
import re

import pytest
import torch
from torch import nn

from addax import noise, rounding
from addax.backward import all_finite, apply_step, gradient_hooks
from addax.loss_scale import LossScale
from benchmarks.profiling.peak_memory import LiveBytes
from tests.baselines.test_methods import class_of

WIDTH, VOCABULARY = 64, 96
LAYER_WEIGHTS = 4 * WIDTH  # rows of the largest matrix


def build(dtype: torch.dtype) -> nn.Module:
    """OPT with tied embeddings: 24 layers of 50,000 parameters."""
    from transformers import OPTConfig, OPTForCausalLM

    config = OPTConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        word_embed_proj_dim=WIDTH,
        ffn_dim=LAYER_WEIGHTS,
        num_hidden_layers=24,
        num_attention_heads=2,
        max_position_embeddings=16,
        dropout=0.0,
    )
    return OPTForCausalLM(config).to(dtype).train()


def largest(model: nn.Module) -> tuple[int, int]:
    """Bytes of the module that owns most, and of the tied embedding."""
    own = [sum(p.numel() * p.element_size() for p in m.parameters(recurse=False)) for m in model.modules()]
    embedding = model.get_input_embeddings().weight
    return max(own), embedding.numel() * embedding.element_size()


def beyond_theta(model: nn.Module, work) -> int:
    """Peak bytes of tensors while it works, theta apart."""
    work()
    with LiveBytes(model.parameters()) as tracker:
        theta = tracker.live
        work()
    return tracker.peak - theta


@pytest.fixture(autouse=True)
def fresh_buffers(monkeypatch):
    """A thread keeps its buffers for z: tests before may have made larger ones than these models need."""
    monkeypatch.setattr(noise, "workspace", noise.Workspace())


@pytest.fixture(params=[torch.float32, torch.bfloat16], ids=str)
def problem(request):
    """A model, its loss on few tokens, and the bytes of a block of float32 that holds its largest matrix."""
    model = build(request.param)
    ids = torch.arange(4)[None]
    block = 4 * LAYER_WEIGHTS * WIDTH
    return model, lambda: model(input_ids=ids, labels=ids).loss, block


def test_a_perturbation_holds_one_module_and_the_tied_embedding(problem):
    model, loss, block = problem
    opt = class_of("mezo")(model, lr=1e-3, check=False)

    @torch.no_grad()
    def bare():
        loss()

    module, tied = largest(model)
    scratch = beyond_theta(model, lambda: opt.estimate(loss)) - beyond_theta(model, bare)
    # Scalars of a few bytes: losses, g0.
    assert module < scratch <= module + tied + block + 100
    theta = sum(p.numel() * p.element_size() for p in model.parameters())
    assert module + tied + block < theta / 20


@pytest.mark.medium
@pytest.mark.parametrize("method", ["ip-sgd", "addax"])
def test_a_first_order_step_holds_one_gradient(method, problem):
    """Beside a backward whose gradients are dropped one by one: blocks of the update, no second gradient."""
    model, loss, block = problem
    made = class_of(method)
    opt = made(model, lr=1e-3, **({"check": False} if "zo_loss" in made.closures else {}))
    names = {p: name for name, p in model.named_parameters()}

    def bare():
        with gradient_hooks(names, lambda p, grad: None):
            loss().backward()

    def all_gradients():
        loss().backward()
        model.zero_grad()

    least = beyond_theta(model, bare)
    held = beyond_theta(model, lambda: opt.step(**dict.fromkeys(made.closures, loss)))
    # z or the gradient in float32, theta and the result in float32, bits and rounded values in 16-bit.
    assert held - least <= (3 if model.dtype == torch.float32 else 7) * block
    theta = sum(p.numel() * p.element_size() for p in model.parameters())
    assert beyond_theta(model, all_gradients) - least > 0.6 * theta


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("parts", ["direction", "gradient", "both", "two directions"])
def test_an_update_holds_the_blocks_that_its_head_states(dtype, parts, monkeypatch):
    """On one thread, with the buffers that a thread keeps."""
    said = re.search(r"(\d) in float32, (\d) in bfloat16,\s(\d) in float16, and (\d) more", rounding.__doc__)
    *each, more = (int(n) for n in said.groups())
    blocks = dict(zip((torch.float32, torch.bfloat16, torch.float16), each, strict=True))[dtype]
    blocks += more * (parts in ("both", "two directions"))
    theta, grad = (torch.ones(3 * noise.CPU_BLOCK, dtype=dtype) for _ in range(2))
    count = {"gradient": 0, "two directions": 2}.get(parts, 1)
    monkeypatch.setattr(noise, "workspace", noise.Workspace())
    with LiveBytes([theta, grad]) as tracker:
        before = tracker.live
        rounding.apply_update(
            theta,
            0,
            0,
            directions=[(torch.tensor(1.0), seed) for seed in range(count)],
            grad=(1.0, grad) if parts in ("gradient", "both") else None,
        )
    assert tracker.peak - before == pytest.approx(blocks * 4 * noise.CPU_BLOCK, rel=0.01)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_a_mask_makes_no_second_gradient(dtype):
    """As on a GPU, where whether the losses were finite travels with the update, and in float16 anywhere."""
    numel = 64 * noise.CPU_BLOCK
    theta, x = nn.Parameter(torch.zeros(numel, dtype=dtype)), torch.ones(numel, dtype=dtype)

    def work():
        loss = (theta * x).sum()
        options = {"is_finite": torch.tensor(True), "scale": LossScale()}
        apply_step([(theta, 0, 1.0)], 0, names={theta: "theta"}, loss=loss.float(), **options)

    work()
    with LiveBytes([theta, x]) as tracker:
        before = tracker.live
        work()
    assert torch.equal(theta, torch.full_like(theta, -2))
    assert tracker.peak - before < 1.05 * numel * theta.element_size() + 9 * 4 * noise.CPU_BLOCK


def test_all_finite_finds_every_non_finite_element():
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        grad = torch.full((1000,), torch.finfo(dtype).max, dtype=dtype)
        assert all_finite(grad)
        assert all_finite(grad[:0])
        for bad in (math.nan, math.inf, -math.inf):
            for at in (0, 501, 999):
                broken = grad.clone()
                broken[at] = bad
                assert not all_finite(broken)
