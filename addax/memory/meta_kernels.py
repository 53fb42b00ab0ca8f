"""Attention and dropout on meta tensors with the kernels that torch would choose on a real device.

torch chooses kernels by the device of the arguments, so meta tensors do not get the kernels of a real device.
Inside `like_a_cpu` and `like_a_gpu`, that device's kernels are called by name.

On a CPU, torch uses the flash kernel in every dtype, unless there is dropout. The kernel takes a mask as a
bias in the dtype of the queries. (A CPU stores the two statistics that layer norm keeps per token in the
dtype of the input, but on meta tensors they are float32. In 16-bit, this overestimates the peak of a small
model by up to 0.2 %, and that of a large model by less.)

On a GPU, torch uses the flash kernel if there is no mask (16-bit only), and otherwise the memory-efficient
kernel, which takes a mask as a bias in the dtype of the queries. (On compute capability 9.0 and 10.0, torch
prefers cuDNN's kernels in both cases. The harness turns them off, and so does
`torch.backends.cuda.enable_cudnn_sdp(False)`.) What these kernels allocate and free is in `workspaces`.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from unittest import mock

import torch
from torch import Tensor
from torch.nn import functional

aten = torch.ops.aten
# The memory-efficient kernel requires rows of the bias to start at a multiple of this many elements.
ALIGNED = 8
_plain_attention = functional.scaled_dot_product_attention


@contextmanager
def like_a_cpu() -> Iterator[None]:
    """Use a CPU's attention kernel on meta tensors. This affects the whole process."""
    with mock.patch.object(functional, "scaled_dot_product_attention", cpu_attention):
        yield


@contextmanager
def like_a_gpu() -> Iterator[None]:
    """Use a GPU's attention and dropout kernels on meta tensors. This affects the whole process."""
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
    """Compute attention with the kernel that a CPU would use.

    Args:
        query: shape (batch, heads, tokens, width).
        key: shape (batch, heads, keys, width).
        value: shape (batch, heads, keys, width).
        attn_mask: broadcasts to (batch, heads, tokens, keys).
        dropout_p: see `torch.nn.functional.scaled_dot_product_attention`.
        is_causal: whether to apply a causal mask.
        scale: factor of the scores; 1 / sqrt(width) if None.
        enable_gqa: whether several heads of the queries share one head of the keys and values.
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
    """Compute attention with the kernel that a GPU would use; see `cpu_attention` for the arguments."""
    if attn_mask is None and query.dtype in (torch.float16, torch.bfloat16):
        # Flash attention reads grouped keys and values without copying them for each head.
        return aten._scaled_dot_product_flash_attention(
            query, key, value, dropout_p, is_causal, False, scale=scale
        )[0]
    if enable_gqa:
        groups = query.shape[1] // key.shape[1]
        key, value = (t.repeat_interleave(groups, 1) for t in (key, value))
    bias = _as_bias(attn_mask, query)
    if bias is not None:
        padding = -bias.shape[-1] % ALIGNED
        if padding:
            bias = functional.pad(bias, (0, padding))[..., : bias.shape[-1]]
        bias = bias.expand(query.shape[0], query.shape[1], query.shape[2], key.shape[2])
    needs_grad = torch.is_grad_enabled() and any(t.requires_grad for t in (query, key, value))
    return aten._scaled_dot_product_efficient_attention(
        query, key, value, bias, needs_grad, dropout_p, is_causal, scale=scale
    )[0]


def _as_bias(mask: Tensor | None, query: Tensor) -> Tensor | None:
    """Convert a boolean mask to a bias in the dtype of the queries."""
    if mask is None or mask.dtype != torch.bool:
        return mask
    return torch.where(mask, torch.zeros((), dtype=query.dtype, device=mask.device), float("-inf"))


def gpu_dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Apply dropout with the fused kernel, which keeps one byte per element."""
    if p == 0 or not training:
        return input
    dropped = aten.native_dropout(input, p, True)[0]
    return input.copy_(dropped) if inplace else dropped
