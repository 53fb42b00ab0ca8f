"""Tests of the memory that kernels of a GPU take beside their outputs, against sizes counted by hand."""

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from addax.memory import predict_peak
from addax.memory.meta_kernels import gpu_attention
from addax.memory.tracer import ACTIVATIONS, Allocations
from addax.memory.workspaces import temporaries
from baselines.ip_sgd import IPSGD
from baselines.mezo import MeZO

MIB = 2**20
BATCH, HEADS, TOKENS, WIDTH = 2, 3, 20, 8
# Bytes of attention's output in 16 bits, and of the statistic that it keeps per query in float32.
OUTPUT, ROWS = 2 * BATCH * HEADS * TOKENS * WIDTH, 4 * BATCH * HEADS * TOKENS


def backward_peak(mask=None, dtype=torch.bfloat16, groups=HEADS, with_temporaries=True):
    """Return the most bytes of activations while attention's backward pass runs."""
    shapes = [(BATCH, heads, TOKENS, WIDTH) for heads in (HEADS, groups, groups)]
    q, k, v = (torch.empty(s, dtype=dtype, device="meta", requires_grad=True) for s in shapes)
    extra = {"temporaries": temporaries} if with_temporaries else {}
    with Allocations([q, k, v], 1, **extra) as allocations:
        out = gpu_attention(q, k, v, mask, is_causal=mask is None, enable_gqa=groups != HEADS)
        allocations.phase = ("fo", "backward", 0)
        out.backward(torch.empty_like(out))
    return allocations.peaks().bytes["fo", "backward", 0][ACTIVATIONS]


def test_flash_attention_accumulates_the_gradient_of_the_queries_in_float32():
    """Its 20 queries are rounded up to 128, and its width of 8 to 32."""
    statistics, accumulated = 4 * BATCH * HEADS * 128, 4 * BATCH * HEADS * 128 * 32
    saved = OUTPUT + ROWS
    gradients = 4 * OUTPUT  # of the output, queries, keys, and values
    # The state of a random generator takes a few bytes.
    assert backward_peak() == pytest.approx(saved + gradients + statistics + accumulated, abs=64)
    assert backward_peak(with_temporaries=False) == pytest.approx(saved + gradients, abs=64)


def test_grouped_attention_computes_gradients_for_every_head_of_the_queries():
    """Gradients of keys and values are of one group of three heads, and their buffers are of three heads."""
    saved, gradients = OUTPUT + ROWS, 2 * OUTPUT + 2 * OUTPUT // 3
    buffers = 4 * BATCH * HEADS * 128 * (1 + 32) + 2 * OUTPUT
    assert backward_peak(groups=1) == pytest.approx(saved + gradients + buffers, abs=64)


@pytest.mark.parametrize(("dtype", "size"), [(torch.bfloat16, 2), (torch.float32, 4)])
def test_efficient_attention_accumulates_in_blocks_with_a_lock(dtype, size):
    """20 queries of width 8 take one block of 64 x 64 float32 values, preceded by 16 bytes."""
    mask = torch.ones(BATCH, 1, TOKENS, TOKENS, dtype=torch.bool, device="meta")
    buffers = 4 * BATCH * HEADS * TOKENS + BATCH * HEADS * (64 * 64 * 4 + 16)
    found = backward_peak(mask, dtype) - backward_peak(mask, dtype, with_temporaries=False)
    assert found == buffers


@pytest.mark.parametrize(
    ("tokens", "width", "dtype", "blocks"),
    [
        # OPT-1.3B: blocks of 64 x 64. OPT-2.7B and 13B: of 128 x 128 in 16 bits, and of 128 x 64 in float32.
        (100, 64, torch.bfloat16, 2 * 64 * 64),
        (100, 80, torch.bfloat16, 128 * 128),
        (300, 128, torch.float16, 3 * 128 * 128),
        (300, 128, torch.float32, 3 * 2 * 128 * 64),
    ],
)
def test_blocks_of_efficient_attention_depend_on_width_and_dtype(tokens, width, dtype, blocks):
    query = torch.empty(1, 1, tokens, width, dtype=dtype, device="meta")
    op = torch.ops.aten._scaled_dot_product_efficient_attention_backward.default
    rows, found = temporaries(op, [None, query])
    assert rows == 4 * tokens
    assert 0 <= found - 4 * blocks <= 16 * 6


def test_other_operators_and_a_cpu_have_no_temporaries():
    assert temporaries(torch.ops.aten.mm.default, [torch.ones(2, 2), torch.ones(2, 2)]) == []


def test_torch_converts_a_boolean_mask_to_a_bias_without_another_mask():
    """`gpu_attention` relies on this conversion, which is the same on every device."""

    class Created(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor) and out.dim():
                created.append((out.dtype, tuple(out.shape)))
            return out

    created = []
    q = torch.zeros(BATCH, HEADS, TOKENS, WIDTH)
    with Created():
        functional.scaled_dot_product_attention(q, q, q, attn_mask=torch.ones(BATCH, 1, TOKENS, TOKENS) > 0)
    mask = (BATCH, 1, TOKENS, TOKENS)
    # The float ones and the boolean mask are the test's own.
    assert created == [(torch.float32, mask), (torch.bool, mask), (torch.float32, mask)]


@pytest.mark.parametrize("method", [MeZO, IPSGD])
@pytest.mark.parametrize(
    ("capability", "workspaces"),
    [((8, 0), 2 * 8.125), ((8, 9), 2 * 8.125), ((9, 0), 64), ((12, 0), 64), (None, 64)],
)
def test_cublas_has_a_workspace_in_the_threads_of_closures_and_of_backward_passes(
    method, capability, workspaces
):
    def build():
        model = nn.Linear(256, 1, bias=False).to("meta")
        return model, method(model, lr=1e-3)

    def closures_of(model):
        return dict.fromkeys(method.closures, lambda: model(torch.ones(2, 256, device="meta")).sum())

    found, on_a_cpu = (
        predict_peak(build, closures_of, device=device, capability=capability) for device in ("cuda", "cpu")
    )
    # Scratch and activations of the step take a few allocation granules.
    assert found.split["scratch"] == pytest.approx(workspaces * MIB, abs=8 * 1024)
    assert on_a_cpu.peak_bytes < 32 * 1024
