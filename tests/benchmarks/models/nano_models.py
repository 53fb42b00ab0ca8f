"""The committed nano models, and a small configuration of every architecture."""

import torch
from transformers import (
    BertConfig,
    DistilBertConfig,
    GPT2Config,
    LlamaConfig,
    OPTConfig,
    RobertaConfig,
    RobertaPreLayerNormConfig,
)

from benchmarks import models

NANO = sorted(name for name in models.builtin() if name.startswith("nano-"))

SMALL = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}

CONFIGS = [
    OPTConfig(**SMALL, word_embed_proj_dim=16, ffn_dim=16),
    LlamaConfig(**SMALL, intermediate_size=16),
    RobertaConfig(**SMALL, intermediate_size=16),
    RobertaPreLayerNormConfig(**SMALL, intermediate_size=16),
    BertConfig(**SMALL, intermediate_size=16),
    DistilBertConfig(vocab_size=50, dim=16, n_layers=1, n_heads=2, hidden_dim=16),
    GPT2Config(**SMALL, pad_token_id=0, bos_token_id=1, eos_token_id=2),
]


def nano(name, **changes):
    """Load a nano model, by default in float32 on the CPU with a language-model head."""
    return models.load(name, **({"dtype": torch.float32, "device": "cpu", "head": "lm"} | changes))
