"""Architectures to time, with random weights: times do not depend on their values."""

import torch
from transformers import OPTConfig, PreTrainedModel

from benchmarks import models
from benchmarks.errors import unknown

# Width, layers, heads: arXiv 2205.01068, Table 1. The others are the published configurations'.
_SIZES = {"opt-125m": (768, 12, 12), "opt-1.3b": (2048, 24, 32), "opt-13b": (5120, 40, 40)}
SHAPES = tuple(_SIZES)


def opt(shape: str, dtype: torch.dtype, device: str, pad_token_id: int = 1) -> PreTrainedModel:
    """An OPT of a published shape without dropout.

    Raises:
        UserError: no such shape.
    """
    if shape not in _SIZES:
        raise unknown("shape", shape, SHAPES)
    width, layers, heads = _SIZES[shape]
    config = OPTConfig(
        hidden_size=width,
        word_embed_proj_dim=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        ffn_dim=4 * width,
        vocab_size=50272,
        dropout=0.0,
        pad_token_id=pad_token_id,
    )
    return models.build(config, dtype=dtype, device=device)
