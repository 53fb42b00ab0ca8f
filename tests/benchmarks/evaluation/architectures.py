"""Small random models of many architectures, none of which the harness knows by name."""

from functools import cache

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
)

from benchmarks.models import Family, LoadedModel
from tests.benchmarks.evaluation.naive_scores import nano

# Every size under each of its names. A configuration keeps names that it does not use as plain attributes.
SIZES = {
    32: ("hidden_size", "d_model", "n_embd", "dim", "embedding_size", "word_embed_proj_dim"),
    48: ("intermediate_size", "ffn_dim", "hidden_dim", "decoder_ffn_dim", "encoder_ffn_dim"),
    2: ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers", "encoder_layers"),
    4: ("num_attention_heads", "n_head", "n_heads", "decoder_attention_heads", "encoder_attention_heads"),
    64: ("max_position_embeddings", "n_positions", "max_seq_len"),
}
COMMON = {name: size for size, names in SIZES.items() for name in names}
# What the sizes above do not determine; None omits a name that the configuration rejects.
EXTRA = {
    "bert": {"type_vocab_size": 2},
    "falcon": {"alibi": True, "new_decoder_architecture": False},
    "funnel": {"num_hidden_layers": None, "block_sizes": [1, 1], "d_head": 8, "d_inner": 48},
    "gemma": {"num_key_value_heads": 2, "head_dim": 8},
    "gemma3_text": {"num_key_value_heads": 2, "head_dim": 8, "sliding_window": 4},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]], "window_size": 4},
    "gptj": {"rotary_dim": 4},
    "lfm2": {"num_key_value_heads": 2, "layer_types": ["conv", "full_attention"]},
    "llama": {"num_key_value_heads": 2},
    "mamba2": {"num_heads": 4, "head_dim": 16, "n_groups": 1, "num_attention_heads": None},
    "mistral": {"num_key_value_heads": 2, "sliding_window": 4},
    "qwen2": {"num_key_value_heads": 2},
    "qwen3": {"num_key_value_heads": 2, "head_dim": 8},
    "modernbert": {"local_attention": 4},
    "phi3": {"num_key_value_heads": 2},
    # The third layer is the first with attention.
    "recurrent_gemma": {"num_hidden_layers": 3},
    "roberta": {"max_position_embeddings": 66},
    "xlnet": {"max_position_embeddings": None, "d_inner": 48},
}
AUTO = {
    ("causal", "lm"): AutoModelForCausalLM,
    ("masked", "lm"): AutoModelForMaskedLM,
    ("causal", "classification"): AutoModelForSequenceClassification,
    ("masked", "classification"): AutoModelForSequenceClassification,
}


@cache
def small(model_type, kind, head="lm", dtype=torch.float64):
    """Return a random model with the vocabulary of a nano model."""
    tokenizer = nano("nano-opt" if kind == "causal" else "nano-roberta").tokenizer
    given = COMMON | {"vocab_size": len(tokenizer), "is_decoder": kind == "causal"}
    given |= {f"{t}_token_id": getattr(tokenizer, f"{t}_token_id") for t in ("pad", "bos", "eos")}
    given |= EXTRA.get(model_type, {})
    config = AutoConfig.for_model(model_type, **{k: v for k, v in given.items() if v is not None})
    if head == "classification":
        config.num_labels = 3
    torch.manual_seed(0)
    model = AUTO[kind, head].from_config(config, dtype=dtype).eval()
    with torch.no_grad():
        for p in model.parameters():
            # Small initial values would hide wrong positions.
            p.add_(torch.randn_like(p) * 0.2)
    family = Family(model_type, kind == "masked", (model_type,), (), lambda tokenizer: config)
    return LoadedModel(model, tokenizer, family, f"small-{model_type}", 60)
