"""Special cases of peft's kinds of adapters: settings that fit a tiny model, and variants of LoRA."""

from typing import Any

#: Settings of peft's kinds of adapters on a tiny Llama, where the defaults do not fit its size.
SETTINGS: dict[str, dict[str, Any]] = {
    "LORA": {"r": 2},
    "ADALORA": {"init_r": 4, "target_r": 2, "total_step": 10},
    "ADAMSS": {"r": 4, "num_subspaces": 2},
    "ADAPTION_PROMPT": {"adapter_len": 4, "adapter_layers": 2},
    "C3A": {"block_size": 8},
    "CARTRIDGE": {"num_virtual_tokens": 4},
    "CPT": {
        "num_virtual_tokens": 4,
        "cpt_token_ids": [9, 10, 11, 12],
        "cpt_mask": [1] * 4,
        "cpt_tokens_type_mask": [1, 2, 3, 4],
        "opt_projection_epsilon": 5.0,
        "opt_projection_format_epsilon": 5.0,
    },
    "DEFT": {"r": 2},
    "FOURIERFT": {"n_frequency": 20},
    "GRALORA": {"r": 4},
    "HIRA": {"r": 4},
    "LILY": {"r": 4},
    "MISS": {"r": 4},
    "MULTITASK_PROMPT_TUNING": {"num_virtual_tokens": 4, "num_tasks": 2},
    "OFT": {"oft_block_size": 4},
    "PEANUT": {"r": 4},
    "POLY": {"r": 4, "n_tasks": 2},
    "PREFIX_TUNING": {"num_virtual_tokens": 4},
    "PROMPT_TUNING": {"num_virtual_tokens": 4},
    "PSOFT": {"r": 4},
    "PVERA": {"r": 8},
    "P_TUNING": {"num_virtual_tokens": 4, "encoder_hidden_size": 16},
    "RANDLORA": {"r": 4},
    "ROAD": {"group_size": 8},
    "SHADOW": {"shadow_dropout": 0.0},
    "SHIRA": {"r": 4},
    "TINYLORA": {"u": 8},
    "TRAINABLE_TOKENS": {"token_indices": [9, 10, 11]},
    "UNILORA": {"theta_d_length": 64},
    "VBLORA": {"num_vectors": 16, "vector_length": 8},
    "VERA": {"r": 8},
    "WAVEFT": {"n_frequency": 20},
    "XLORA": {"hidden_size": 32, "xlora_dropout_p": 0.0},
}

#: Kinds of adapters that choose among skills by a task's number.
BY_TASK = {"MULTITASK_PROMPT_TUNING", "POLY"}

#: Variants of LoRA: name -> (model type, settings).
LORA: dict[str, tuple[str, dict[str, Any]]] = {
    "rslora": ("llama", {"use_rslora": True}),
    "dora": ("llama", {"use_dora": True}),
    "embeddings": ("llama", {"target_modules": ["embed_tokens", "lm_head"]}),
    "bias": (
        "gpt2",
        {"bias": "all", "lora_bias": True, "target_modules": ["c_attn"], "fan_in_fan_out": True},
    ),
    "mamba": ("mamba", {"target_modules": ["in_proj", "x_proj"]}),
    "fused_experts": ("mixtral", {"target_parameters": ["experts.gate_up_proj", "experts.down_proj"]}),
    "modules_to_save": ("llama", {"modules_to_save": ["lm_head", "embed_tokens"]}),
    "trainable_tokens": ("llama", {"trainable_token_indices": {"embed_tokens": [9, 10, 11]}}),
}
