"""What a GPU does otherwise: its fused kernels, called by name on tensors that only say they have a device.

torch picks an attention kernel by the device it finds, and finds none here. A GPU takes the flash kernel
where no mask is given (16-bit only) and the memory-efficient one where there is, whose mask is a bias in the
queries' dtype. (From compute capability 9.0 on, with a recent cuDNN, torch takes cuDNN's for both, which is
taken to keep the same.)
"""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import torch
from torch import Tensor

aten = torch.ops.aten
# The memory-efficient kernel reads its bias in rows of so many elements.
ALIGNED = 8


@contextmanager
def like_a_gpu() -> Iterator[None]:
    """Inside, attention and dropout are a GPU's kernels, for the whole process."""
    functional = torch.nn.functional
    with (
        mock.patch.object(functional, "scaled_dot_product_attention", attention),
        mock.patch.object(functional, "dropout", dropout),
    ):
        yield


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """The fused kernel, which keeps one byte an element."""
    if p == 0 or not training:
        return input
    dropped = aten.native_dropout(input, p, True)[0]
    return input.copy_(dropped) if inplace else dropped


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Tensors of shape (batch, heads, tokens, width); the mask broadcasts to (batch, heads, tokens, keys)."""
    if attn_mask is None and query.dtype in (torch.float16, torch.bfloat16):
        # Which reads the few heads of keys and values as they are.
        return aten._scaled_dot_product_flash_attention(
            query, key, value, dropout_p, is_causal, False, scale=scale
        )[0]
    if enable_gqa:
        groups = query.shape[1] // key.shape[1]
        key, value = (t.repeat_interleave(groups, 1) for t in (key, value))
    bias = None
    if attn_mask is not None:
        bias = attn_mask
        if bias.dtype == torch.bool:
            zero = torch.zeros((), dtype=query.dtype, device=bias.device)
            bias = torch.where(bias, zero, float("-inf"))
        short = -bias.shape[-1] % ALIGNED
        if short:
            bias = torch.nn.functional.pad(bias, (0, short))[..., : bias.shape[-1]]
        bias = bias.expand(query.shape[0], query.shape[1], query.shape[2], key.shape[2])
    needs_grad = torch.is_grad_enabled() and any(t.requires_grad for t in (query, key, value))
    return aten._scaled_dot_product_efficient_attention(
        query, key, value, bias, needs_grad, dropout_p, is_causal, scale=scale
    )[0]
