"""Tests of the memory of a step beyond theta and activations, measured on a model with 24 layers."""

import math
import re

import pytest
import torch
from torch import nn

from addax import noise
from addax import update as updates
from addax.backward import all_finite, apply_step, gradient_hooks
from addax.loss_scale import LossScale
from addax.small_tensors import is_small
from addax.update import Step
from benchmarks.profiling.peak_memory import LiveBytes
from tests.baselines.test_methods import class_of
from tests.numerics.updates import update

WIDTH, VOCABULARY = 128, 96
FFN_DIM = 4 * WIDTH  # rows of the largest matrix


def build(dtype: torch.dtype) -> nn.Module:
    """Build an OPT with tied embeddings and 24 layers of 50,000 parameters."""
    from transformers import OPTConfig, OPTForCausalLM

    config = OPTConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        word_embed_proj_dim=WIDTH,
        ffn_dim=FFN_DIM,
        num_hidden_layers=24,
        num_attention_heads=2,
        max_position_embeddings=16,
        dropout=0.0,
    )
    return OPTForCausalLM(config).to(dtype).train()


def largest(model: nn.Module) -> tuple[int, int]:
    """Return the bytes of the largest module (without its submodules) and of the tied embedding."""
    sizes = [sum(p.numel() * p.element_size() for p in m.parameters(recurse=False)) for m in model.modules()]
    embedding = model.get_input_embeddings().weight
    return max(sizes), embedding.numel() * embedding.element_size()


def small(model: nn.Module) -> int:
    """Return the bytes of the small parameters, of their z, and in 16-bit of the sums that are rounded."""
    numel = sum(p.numel() for p in model.parameters() if is_small(p))
    return numel * (4 + 4 if model.dtype == torch.float32 else 4 + 4 + 2)


def beyond_theta(model: nn.Module, work) -> int:
    """Return the peak bytes of all tensors except theta while `work` runs, after one warm-up call."""
    work()
    with LiveBytes(model.parameters()) as tracker:
        theta = tracker.live
        work()
    return tracker.peak - theta


@pytest.fixture(autouse=True)
def fresh_buffers(monkeypatch):
    """Replace the thread's buffers for z, which earlier tests may have grown beyond the size needed here."""
    monkeypatch.setattr(noise, "workspace", noise.Workspace())


@pytest.fixture(params=[torch.float32, torch.bfloat16], ids=str)
def problem(request):
    """Return a model, its loss on four tokens, and the bytes of its largest matrix in float32."""
    model = build(request.param)
    ids = torch.arange(4)[None]
    block = 4 * FFN_DIM * WIDTH
    return model, lambda: model(input_ids=ids, labels=ids).loss, block


def test_a_perturbation_allocates_one_module_and_the_tied_embedding(problem):
    model, loss, block = problem
    opt = class_of("mezo")(model, lr=1e-3)

    @torch.no_grad()
    def bare():
        loss()

    module, tied = largest(model)
    scratch = beyond_theta(model, lambda: opt.estimate(loss)) - beyond_theta(model, bare)
    # The last 100 bytes are for scalars: the losses and g0.
    # In 16-bit, a second block holds the sum before it is rounded.
    blocks = block if model.dtype == torch.float32 else 2 * block
    assert module < scratch <= module + tied + blocks + small(model) + 100
    theta = sum(p.numel() * p.element_size() for p in model.parameters())
    assert module + tied + block + small(model) < theta / 10


@pytest.mark.medium
@pytest.mark.parametrize("method", ["ip-sgd", "addax"])
def test_a_first_order_step_holds_one_gradient_at_a_time(method, problem):
    """A step needs at most a few blocks more than a backward pass that frees each gradient immediately."""
    model, loss, block = problem
    cls = class_of(method)
    opt = cls(model, lr=1e-3)
    names = {p: name for name, p in model.named_parameters()}

    def bare():
        with gradient_hooks(names, lambda p, grad: None):
            loss().backward()

    def all_gradients():
        loss().backward()
        model.zero_grad()

    baseline = beyond_theta(model, bare)
    step = beyond_theta(model, lambda: opt.step(**dict.fromkeys(cls.closures, loss)))
    # The blocks are z or the gradient, theta, and the result in float32. In 16-bit, there are also random
    # bits and rounded values.
    kept = small(model) if "zo_loss" in cls.closures else 0
    assert step - baseline <= (3 if model.dtype == torch.float32 else 7) * block + kept + 4 * noise.CPU_BLOCK
    theta = sum(p.numel() * p.element_size() for p in model.parameters())
    assert beyond_theta(model, all_gradients) - baseline > 0.6 * theta


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_an_update_needs_the_blocks_that_the_module_docstring_states(dtype, monkeypatch):
    """The count is for one thread and includes the buffers that the thread keeps."""
    match = re.search(r"at most (\d+) in float32, (\d+) in bfloat16, and (\d+) in float16", updates.__doc__)
    most = dict(zip((torch.float32, torch.bfloat16, torch.float16), map(int, match.groups()), strict=True))
    theta, grad = (torch.ones(3 * noise.CPU_BLOCK, dtype=dtype) for _ in range(2))
    used = []
    for kind in noise.DIRECTIONS:
        for directions, with_grad in ((1, False), (0, True), (1, True), (2, False)):
            monkeypatch.setattr(noise, "workspace", noise.Workspace())
            with LiveBytes([theta, grad]) as tracker:
                before = tracker.live
                update(
                    theta,
                    0,
                    0,
                    directions=[(1.0, seed) for seed in range(directions)],
                    kind=kind,
                    grad=(1.0, grad) if with_grad else None,
                )
            used.append((tracker.peak - before) / (4 * noise.CPU_BLOCK))
    assert most[dtype] - 1 < max(used) <= most[dtype]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_masking_does_not_copy_the_gradient(dtype):
    """An update is masked if a loss is not finite (on a GPU) or a gradient overflows (in float16)."""
    numel = 64 * noise.CPU_BLOCK
    theta, x = nn.Parameter(torch.zeros(numel, dtype=dtype)), torch.ones(numel, dtype=dtype)

    def work():
        loss = (theta * x).sum()
        options = {"is_finite": torch.tensor(True), "scale": LossScale()}
        apply_step([(theta, 0, 1.0)], Step(0), names={theta: "theta"}, loss=loss.float(), **options)

    work()
    with LiveBytes([theta, x]) as tracker:
        before = tracker.live
        work()
    assert torch.equal(theta, torch.full_like(theta, -2))
    assert tracker.peak - before < 1.05 * numel * theta.element_size() + 12 * 4 * noise.CPU_BLOCK


def test_all_finite_finds_every_non_finite_element():
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        grad = torch.full((1000,), torch.finfo(dtype).max, dtype=dtype)
        assert all_finite(grad)
        assert all_finite(grad[:0])
        for bad in (math.nan, math.inf, -math.inf):
            for index in (0, 501, 999):
                broken = grad.clone()
                broken[index] = bad
                assert not all_finite(broken)
