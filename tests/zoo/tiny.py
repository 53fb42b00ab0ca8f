"""Tiny configurations of transformers' architectures, derived from each architecture's default configuration.

A field's name says what it counts: layers, heads, channels, experts, positions. `RULES` gives each kind of
field a small value, so that a new architecture needs no code here. Other fields keep their defaults, and
fields that a configuration computes from others are computed again. `special_cases.py` lists the settings
that names do not reveal.
"""

import dataclasses
import re
from collections.abc import Callable, Sequence
from typing import Any

from transformers import PreTrainedConfig

from tests.zoo.special_cases import SETTINGS

VOCABULARY = 64
#: Ids from this one on are ordinary tokens. Smaller ids are special tokens.
FIRST_TOKEN = 8
END = 2
HIDDEN, HEADS, HEAD_DIM = 32, 4, 8
MAX_LAYERS = 8
#: Fields that some classes leave open although their models need them.
OPEN = {"head_dim": HEAD_DIM, "num_key_value_heads": HEADS, "num_experts_per_tok": 2}

Rule = tuple[str, Callable[[int, PreTrainedConfig], int]]


def _constant(value: int) -> Callable[[int, PreTrainedConfig], int]:
    return lambda _value, _default: value


def _at_most(limit: int) -> Callable[[int, PreTrainedConfig], int]:
    return lambda value, _default: min(value, limit)


def _layers(_value: int, default: PreTrainedConfig) -> int:
    return number_of_layers(default)


def _key_value_heads(value: int, default: PreTrainedConfig) -> int:
    return HEADS if value == vars(default).get("num_attention_heads") else 2


#: (pattern of a field's name, value as a function of its default and of the default configuration). The first
#: pattern that matches the whole name counts. A field whose default is None, 0, or 1 is not changed, because
#: these values switch a part of the model off or share it.
RULES: tuple[Rule, ...] = (
    (r"pad_token_id", _constant(0)),
    (r"bos_token_id|decoder_start_token_id", _constant(1)),
    (r"(forced_)?eos_token_id", _constant(END)),
    (r".*_(token_id|token_index)|(pad|bos|eos|unk|mask)_index", _constant(3)),
    (r".*vocab_size.*", _at_most(VOCABULARY)),
    (r"(.*_)?(layers?|depth)", _layers),
    (r"(.*_)?(head_dim|dim_head|d_head|d_kv|kv_channels|head_size|headdim|rotary_dim)", _constant(HEAD_DIM)),
    (r".*(num_key_value|kv_n|num_kv)_heads", _key_value_heads),
    (r"(.*_)?heads?", _constant(HEADS)),
    (r".*(intermediate_size|ffn_dim|ffn_hidden_size|feed_forward_size|pooler_hidden_size).*", _constant(48)),
    (r"d_ff|dff|dim_ff|n_inner|d_inner|mlp_dim", _constant(48)),
    (r".*(hidden_size|embedding_size|hidden_dim|embed_dim|proj_dim|emb_size).*", _constant(HIDDEN)),
    (r"d_model|n_embd|emb_dim|dim|embedding_dim|lru_width|d_latents|dim_model", _constant(HIDDEN)),
    (r".*_rank", _constant(8)),
    (r".*(num|n)_(local_|routed_)?experts|moe_num_experts", _constant(4)),
    (r".*(experts_per_tok|experts_per_token|top_?k|moe_k)", _at_most(2)),
    (r"n_group", _constant(2)),
    (r"topk_group", _constant(1)),
    (r"first_k_dense_replace|num_dense_layers", _constant(1)),
    (r".*max_.*position.*|n_positions|n_ctx|max_seq_len|context_length", _constant(64)),
    (r".*(sliding_window|window_size|attention_window|local_attention|window_len)", _constant(4)),
    (r".*(d_state|state_size|state_dim)", _constant(8)),
    (r"((mamba|attention)_)?chunk_size|(local|lsh)_attn_chunk_length|block_size", _constant(4)),
    (r"image_size|input_size", _constant(64)),
    (r"patch_size", _constant(8)),
    (r"num_conv_pos_embeddings|mask_(time|feature)_length", _constant(4)),
)  # fmt: skip

#: Patterns of fields that contain one number per stage: repetitions, heads, and channels.
REPETITIONS = r"depths?|stage_num_blocks|num_block_repeats|stage_numb_of_layers"
STAGE_HEADS = r"(.*_)?heads"
CHANNELS = r".*hidden_sizes|embed_dims?|conv_dim|.*channels|.*_dims"


def tiny_config(cls: type[PreTrainedConfig], **settings: Any) -> PreTrainedConfig:
    """Return a tiny configuration of a class.

    Args:
        cls: the class of the configuration.
        settings: values that take precedence over the rules.
    """
    settings = SETTINGS.get(cls.model_type, {}) | settings
    default = cls()
    small: dict[str, Any] = {}
    for field in dataclasses.fields(cls):
        value = field.default
        if field.name in cls.sub_configs:
            part = vars(default)[field.name]
            if part is not None:
                small[field.name] = tiny_config(type(part), **settings.pop(field.name, {}))
        elif value is None and field.name in OPEN:
            small[field.name] = OPEN[field.name]
        elif "drop" in field.name and isinstance(value, (int, float)) and not isinstance(value, bool):
            small[field.name] = type(value)(0)
        elif type(value) is int and (value > 1 or field.name.endswith("token_id")):
            small[field.name] = shrink(field.name, value, default)
        elif isinstance(value, (tuple, list)) and (stages := shrink_stages(field.name, value)):
            small[field.name] = stages
    small |= {"pad_token_id": 0, "eos_token_id": END}
    return cls(**(small | settings))


def shrink(name: str, value: int, default: PreTrainedConfig) -> int:
    """Return the small value of a field, or its default if no rule matches its name."""
    for pattern, rule in RULES:
        if re.fullmatch(pattern, name):
            return rule(value, default)
    return value


def shrink_stages(name: str, values: Sequence[Any]) -> list[int] | None:
    """Return small values of a field with one number per stage, or None if no pattern matches its name."""
    if re.fullmatch(REPETITIONS, name):
        return [1] * len(values)
    if re.fullmatch(STAGE_HEADS, name):
        return [2] * len(values)
    if re.fullmatch(CHANNELS, name):
        # Equal numbers stay equal, and larger ones stay larger.
        return [8 * (1 + sorted(set(values)).index(value)) for value in values]
    return None


def number_of_layers(default: PreTrainedConfig) -> int:
    """Return the smallest number of layers, at least two, among which every kind of layer occurs."""
    needed = 2
    listed = {name: getattr(default, name, None) for name in ("layer_types", "layers_block_type")}
    for name, kinds in (vars(default) | listed).items():
        if not re.search("type|layers", name) or not isinstance(kinds, (list, tuple)):
            continue
        if len(kinds) > 2 and all(isinstance(kind, str) for kind in kinds):
            needed = max(needed, 1 + max(list(kinds).index(kind) for kind in set(kinds)))
    return min(needed, MAX_LAYERS)
