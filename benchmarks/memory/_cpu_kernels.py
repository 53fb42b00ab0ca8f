"""What a CPU does otherwise: its attention kernel, called by name on tensors that are on no device.

torch picks the kernel by the device it finds, and finds none here. A CPU takes the flash kernel in every
dtype, with a mask as a bias in the queries' dtype, and without dropout alone. (The two statistics that a
layer norm keeps of a token are float32 here and of the input's dtype on a CPU: in 16 bits this is up to 0.2 %
of a small model's peak too much, and less of a large one's.)
"""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import torch
from torch import Tensor

aten = torch.ops.aten
_plain = torch.nn.functional.scaled_dot_product_attention


@contextmanager
def like_a_cpu() -> Iterator[None]:
    """Inside, attention is a CPU's kernel, for the whole process."""
    with mock.patch.object(torch.nn.functional, "scaled_dot_product_attention", attention):
        yield


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
    if dropout_p > 0:
        return _plain(query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa)
    bias = attn_mask
    if bias is not None and bias.dtype == torch.bool:
        zero = torch.zeros((), dtype=query.dtype, device=bias.device)
        bias = torch.where(bias, zero, float("-inf"))
    return aten._scaled_dot_product_flash_attention_for_cpu(
        query, key, value, dropout_p, is_causal, attn_mask=bias, scale=scale
    )[0]
