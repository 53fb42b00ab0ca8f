"""Tests that kernels on meta tensors save the same tensors for the backward pass as a device's kernels."""

import pytest
import torch
from torch.nn import functional

from addax.memory.meta_kernels import KERNELS, gpu_attention, gpu_dropout


@pytest.mark.parametrize(("masked", "dtype"), [(False, "bfloat16"), (True, "bfloat16"), (True, "float32")])
def test_attention_on_a_gpu_saves_no_scores(masked, dtype):
    """The kernels save inputs, outputs, row sums, and the mask as a bias in the dtype of the queries."""
    q = torch.empty(2, 3, 20, 8, dtype=getattr(torch, dtype), device="meta", requires_grad=True)
    mask = torch.empty(2, 1, 20, 20, dtype=torch.bool, device="meta") if masked else None
    saved = []

    def keep(tensor):
        saved.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        out = gpu_attention(q, q, q, mask, is_causal=not masked)
    assert out.shape == q.shape
    sizes = {t.untyped_storage()._cdata: t.untyped_storage().nbytes() for t in saved}
    # The bias has 24 columns, because its rows are aligned to 8 elements.
    bias = 2 * 20 * 24 * q.element_size() if masked else 0
    assert sum(sizes.values()) < 2 * q.numel() * q.element_size() + bias + 8 * 2 * 3 * 32


def test_dropout_on_a_gpu_saves_one_byte_per_element():
    x = torch.empty(64, 32, device="meta", requires_grad=True)
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        assert gpu_dropout(x, 0.5).shape == x.shape
        assert gpu_dropout(x, 0.0) is x
        assert gpu_dropout(x, 0.5, training=False) is x
    assert sum(t.untyped_storage().nbytes() for t in saved) == x.numel()


@pytest.mark.parametrize("device", list(KERNELS))
def test_kernels_are_restored_afterwards(device):
    before = functional.scaled_dot_product_attention, functional.dropout
    with KERNELS[device]():
        assert functional.scaled_dot_product_attention is not before[0]
    assert (functional.scaled_dot_product_attention, functional.dropout) == before


@pytest.mark.parametrize("device", list(KERNELS))
@pytest.mark.parametrize("masked", [False, True])
def test_attention_on_meta_tensors_has_the_shape_of_real_attention(device, masked):
    shape = (2, 4, 20, 8)
    mask = torch.ones(2, 1, 20, 20, dtype=torch.bool) if masked else None
    real = functional.scaled_dot_product_attention(*[torch.zeros(shape)] * 3, attn_mask=mask)
    q = torch.empty(shape, device="meta")
    with KERNELS[device]():
        found = functional.scaled_dot_product_attention(
            q, q, q, attn_mask=None if mask is None else mask.to("meta")
        )
    assert (found.shape, found.dtype) == (real.shape, real.dtype)
