"""Configurations of the papers' models, so that their shapes are available without the hub.

Sources: OPT: Zhang et al., arXiv 2205.01068, Table 1; Llama 2: Touvron et al., arXiv 2307.09288; RoBERTa: Liu
et al., arXiv 1907.11692. Vocabulary sizes, positions, and dropout come from the models' published
configurations.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

# Layers, width, heads.
_OPT = {
    "125m": (12, 768, 12),
    "1.3b": (24, 2048, 32),
    "2.7b": (32, 2560, 32),
    "6.7b": (32, 4096, 32),
    "13b": (40, 5120, 40),
    "30b": (48, 7168, 56),
    "66b": (64, 9216, 72),
}
# Layers, width, heads, key and value heads, width of the MLP.
_LLAMA_2 = {
    "7b": (32, 4096, 32, 32, 11008),
    "13b": (40, 5120, 40, 40, 13824),
    "70b": (80, 8192, 64, 8, 28672),
}
# Layers, width, heads.
_ROBERTA = {"base": (12, 768, 12), "large": (24, 1024, 16)}


def _opt(layers: int, width: int, heads: int) -> dict[str, Any]:
    sizes = {"ffn_dim": 4 * width, "word_embed_proj_dim": width, "vocab_size": 50272}
    constants = {"max_position_embeddings": 2048, "dropout": 0.1, "attention_dropout": 0.0}
    return sizes | constants | _shared(layers, width, heads)


def _opt_350m() -> dict[str, Any]:
    """Return the fields of OPT-350M, the only OPT with post-normalization and projected embeddings."""
    return _opt(24, 1024, 16) | {"word_embed_proj_dim": 512, "do_layer_norm_before": False}


def _llama(layers: int, width: int, heads: int, key_value_heads: int, inner: int) -> dict[str, Any]:
    sizes = {"num_key_value_heads": key_value_heads, "intermediate_size": inner, "vocab_size": 32000}
    return sizes | {"max_position_embeddings": 4096, "rms_norm_eps": 1e-5} | _shared(layers, width, heads)


def _roberta(layers: int, width: int, heads: int) -> dict[str, Any]:
    sizes = {"intermediate_size": 4 * width, "vocab_size": 50265, "max_position_embeddings": 514}
    return sizes | {"type_vocab_size": 1, "layer_norm_eps": 1e-5} | _shared(layers, width, heads)


def _shared(layers: int, width: int, heads: int) -> dict[str, Any]:
    return {"num_hidden_layers": layers, "hidden_size": width, "num_attention_heads": heads}


_KNOWN = (
    {f"facebook/opt-{size}": ("opt", _opt(*shape)) for size, shape in _OPT.items()}
    | {"facebook/opt-350m": ("opt", _opt_350m())}
    | {f"meta-llama/Llama-2-{size}-hf": ("llama", _llama(*shape)) for size, shape in _LLAMA_2.items()}
    | {f"FacebookAI/roberta-{size}": ("roberta", _roberta(*shape)) for size, shape in _ROBERTA.items()}
)


def names() -> tuple[str, ...]:
    """Return the hub names of the models in this module."""
    return tuple(_KNOWN)


def config(name: str) -> "PreTrainedConfig":
    """Return a new configuration for a hub name; raise `KeyError` if this module does not have it."""
    from transformers import AutoConfig

    model_type, fields = _KNOWN[name]
    return AutoConfig.for_model(model_type, **fields)
