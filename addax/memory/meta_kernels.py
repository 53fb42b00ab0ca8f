"""Attention and dropout on meta tensors with the kernels that a device would choose.

torch chooses a kernel by the device of its arguments, and for meta tensors chooses none of a device's. Inside
`like_a_cpu` and `like_a_gpu` the device's kernels are called by name.

A CPU takes the flash kernel in every dtype, with a mask as a bias in the queries' dtype, but only without
dropout. (A CPU stores the two statistics that layer norm keeps per token in the input's dtype; on meta
tensors they are float32. In 16-bit this overestimates a small model's peak by up to 0.2 % and a large one's
by less.)

A GPU takes the flash kernel without a mask (16-bit only) and the memory-efficient kernel with one, whose mask
is a bias in the queries' dtype. (From compute capability 9.0 on, with a recent cuDNN, torch takes cuDNN's
kernels for both, which we assume to keep the same.)
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from unittest import mock

import torch
from torch import Tensor
from torch.nn import functional

aten = torch.ops.aten
# The memory-efficient kernel reads its bias in rows of a multiple of this many elements.
ALIGNED = 8
_plain_attention = functional.scaled_dot_product_attention


@contextmanager
def like_a_cpu() -> Iterator[None]:
    """Use a CPU's attention kernel, in the whole process."""
    with mock.patch.object(functional, "scaled_dot_product_attention", cpu_attention):
        yield


@contextmanager
def like_a_gpu() -> Iterator[None]:
    """Use a GPU's attention and dropout kernels, in the whole process."""
    with (
        mock.patch.object(functional, "scaled_dot_product_attention", gpu_attention),
        mock.patch.object(functional, "dropout", gpu_dropout),
    ):
        yield


KERNELS: dict[str, Callable[[], AbstractContextManager[None]]] = {"cpu": like_a_cpu, "cuda": like_a_gpu}


def cpu_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Attend as a CPU does.

    Args:
        query, key, value: shape (batch, heads, tokens, width).
        attn_mask: broadcasts to (batch, heads, tokens, keys).
        dropout_p, is_causal, scale, enable_gqa: as in `torch.nn.functional.scaled_dot_product_attention`.
    """
    if dropout_p > 0:
        return _plain_attention(
            query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
        )
    return aten._scaled_dot_product_flash_attention_for_cpu(
        query, key, value, dropout_p, is_causal, attn_mask=_as_bias(attn_mask, query), scale=scale
    )[0]


def gpu_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Attend as a GPU does; arguments as in `cpu_attention`."""
    if attn_mask is None and query.dtype in (torch.float16, torch.bfloat16):
        # Flash attention reads grouped keys and values without copying them for every head.
        return aten._scaled_dot_product_flash_attention(
            query, key, value, dropout_p, is_causal, False, scale=scale
        )[0]
    if enable_gqa:
        groups = query.shape[1] // key.shape[1]
        key, value = (t.repeat_interleave(groups, 1) for t in (key, value))
    bias = _as_bias(attn_mask, query)
    if bias is not None:
        short = -bias.shape[-1] % ALIGNED
        if short:
            bias = functional.pad(bias, (0, short))[..., : bias.shape[-1]]
        bias = bias.expand(query.shape[0], query.shape[1], query.shape[2], key.shape[2])
    needs_grad = torch.is_grad_enabled() and any(t.requires_grad for t in (query, key, value))
    return aten._scaled_dot_product_efficient_attention(
        query, key, value, bias, needs_grad, dropout_p, is_causal, scale=scale
    )[0]


def _as_bias(mask: Tensor | None, query: Tensor) -> Tensor | None:
    """Return a mask as a bias in the queries' dtype."""
    if mask is None or mask.dtype != torch.bool:
        return mask
    return torch.where(mask, torch.zeros((), dtype=query.dtype, device=mask.device), float("-inf"))


def gpu_dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Drop elements with the fused kernel, which keeps one byte per element."""
    if p == 0 or not training:
        return input
    dropped = aten.native_dropout(input, p, True)[0]
    return input.copy_(dropped) if inplace else dropped
