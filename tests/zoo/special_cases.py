"""What the names of an architecture's fields do not reveal: settings that it needs, and what cannot be built."""

from typing import Any

#: Settings by model type, in addition to the rules of `tiny.py`. A part of a composite configuration is
#: looked up under its own model type.
SETTINGS: dict[str, dict[str, Any]] = {
    # Kinds of layers that the default configuration of the class does not contain.
    "bamba": {"attn_layer_indices": [1]},
    "gemma3n_text": {
        "num_hidden_layers": 4,
        "layer_types": ["sliding_attention", "full_attention"] * 2,
        "num_kv_shared_layers": 2,
    },
    "granitemoehybrid": {"layer_types": ["linear_attention", "full_attention"]},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
    "dots1": {"n_routed_experts": 4, "n_shared_experts": 1},
    "zamba": {"num_hidden_layers": 4, "layers_block_type": ["linear_attention", "hybrid"] * 2},
    "zamba2": {"num_hidden_layers": 4, "layers_block_type": ["linear_attention", "hybrid"] * 2},
    # Numbers of layers that are written differently.
    "funnel": {"block_sizes": [1, 1, 1]},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "perceiver": {"num_self_attends_per_block": 2, "num_latents": 8},
    "reformer": {
        "attn_layers": ["local", "local"],
        "axial_pos_embds": False,
    },
    # Sizes that depend on each other.
    "layoutlmv3": {"coordinate_size": 4, "shape_size": 8},
    "lilt": {"hidden_size": 48},
    "mamba2": {"num_heads": 8},
    "mobilebert": {"embedding_size": 16, "true_hidden_size": 16, "intra_bottleneck_size": 16},
    "nemotron_h": {"n_groups": 2, "mamba_num_heads": 8},
    "neomme": {"num_attention_heads": 2, "head_dim": 16},
    "xlstm": {"hidden_size": 128, "mode": "train"},
    # Sizes that the class leaves open or that are large.
    "canine": {"num_hash_buckets": 16},
    "cohere_compass_text": {
        "rope_parameters": dict.fromkeys(
            ("full_attention", "sliding_attention"), {"rope_type": "default", "rope_theta": 10000.0}
        )
    },
    "dbrx": {
        "attn_config": {"rope_theta": 10000.0, "kv_n_heads": 2, "clip_qkv": 8.0},
        "ffn_config": {"hidden_size": 32, "ffn_hidden_size": 48, "moe_num_experts": 4, "moe_top_k": 2},
    },
    "esm": {"vocab_size": 64},
    "qwen4_exp_text": {
        "indexer_n_heads": 2,
        "indexer_kv_heads": 1,
        "indexer_head_dim": 8,
        "indexer_budget": 4,
        "indexer_compress_ratio": 2,
        "ple_layer_ids": [1],
        "ple_embed_dim": 32,
        "heads_per_ngram": 2,
        "ngram_vocab_size_base": 16,
        "make_ngram_vocab_size_divisible_by": 8,
    },
    # The model reads a number of layers that its configuration does not have.
    "blt": {"use_cache": False, "encoder_hash_byte_group_vocab": 16},
    "bit": {"num_groups": 4},
    "audio-spectrogram-transformer": {"max_length": 32, "num_mel_bins": 16},
    "cvt": {"depth": [1, 2, 3]},
    "donut-swin": {"depths": [1, 1], "num_heads": [2, 2]},
    "efficientnet": {
        "in_channels": [32] + [8] * 6,
        "out_channels": [8] * 7,
        "hidden_dim": 1280,
        "width_coefficient": 1.0,
        "depth_coefficient": 1.0,
    },
    "hgnet_v2": {
        "stem_channels": [3, 8, 8],
        "stage_in_channels": [8, 8, 8, 8],
        "stage_mid_channels": [8, 8, 8, 8],
        "stage_out_channels": [8, 8, 8, 8],
        "hidden_sizes": [8, 8, 8, 8],
    },
    "mobilevitv2": {"patch_size": 2},
    "swin": {"depths": [1, 1], "num_heads": [2, 2]},
    "textnet": {"image_size": [64, 64], "stem_out_channels": 8},
    "mobilenet_v1": {"depth_multiplier": 0.25},
    "mobilenet_v2": {"depth_multiplier": 0.25},
    # The language of the adapters.
    "xmod": {"default_language": "en_XX"},
}

#: Shapes of one example for model types that read features of sounds.
FEATURES = {"audio-spectrogram-transformer": (32, 16), "wav2vec2-bert": (20, 160), "whisper": (80, 128)}

#: Model types that cannot compute in float64, with the operator that prevents it.
FLOAT32 = {
    "canine": "the attention mask is computed in float32",
    "inkling2_text": "experts are combined in float32",
    "mra": "sparse attention is computed in float32",
    "switch_transformers": "the router converts its weights to float32",
    "xglm": "torch.full gets the smallest float64",
}

#: Model types whose backward pass fails in torch itself, with the reason. Only MeZO is tested.
NO_BACKWARD = {"xlstm": "the kernels overwrite tensors that the backward pass needs"}

#: (mapping, model type) that cannot be built, with the reason.
NOT_BUILT = {
    ("IMAGE_CLASSIFICATION", "dinat"): "requires natten",
    ("IMAGE_CLASSIFICATION", "shieldgemma2"): "requires an image and a text",
    ("IMAGE_CLASSIFICATION", "siglip2"): "requires patches of images",
    ("IMAGE_CLASSIFICATION", "timm_wrapper"): "requires timm",
    ("CAUSAL_LM", "dots3_note"): "settings are given for the layers of the full size",
    ("CAUSAL_LM", "dots3_note_text"): "settings are given for the layers of the full size",
    ("CAUSAL_LM", "gemma3n"): "requires timm",
    ("CAUSAL_LM", "gemma4_assistant"): "the default configuration is invalid",
    ("CAUSAL_LM", "gemma4_unified_assistant"): "requires another model's keys and values",
    ("CAUSAL_LM", "musicgen"): "the mapping pairs the decoder with the configuration of the whole model",
    ("CAUSAL_LM", "musicgen_melody"): "the mapping pairs the decoder with the configuration of the whole model",
    ("SEQUENCE_CLASSIFICATION", "layoutlmv2"): "requires detectron2",
    ("SEQ_TO_SEQ_CAUSAL_LM", "vibevoice_asr"): "the audio encoder is large by construction",
    ("SEQ_TO_SEQ_CAUSAL_LM", "voxtral_realtime"): "requires audio",
}

#: Settings of peft's kinds of adapters on a tiny Llama, where the defaults do not fit its size.
ADAPTER_SETTINGS: dict[str, dict[str, Any]] = {
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

#: Kinds of adapters that cannot be built, with the reason.
ADAPTERS_NOT_BUILT: dict[str, str] = {}

#: Variants of LoRA: name -> (model type, settings).
LORA_VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "rslora": ("llama", {"use_rslora": True}),
    "dora": ("llama", {"use_dora": True}),
    "embeddings": ("llama", {"target_modules": ["embed_tokens", "lm_head"]}),
    "bias": ("gpt2", {"bias": "all", "lora_bias": True, "target_modules": ["c_attn"], "fan_in_fan_out": True}),
    "mamba": ("mamba", {"target_modules": ["in_proj", "x_proj"]}),
    "fused_experts": ("mixtral", {"target_parameters": ["experts.gate_up_proj", "experts.down_proj"]}),
    "modules_to_save": ("llama", {"modules_to_save": ["lm_head", "embed_tokens"]}),
    "trainable_tokens": ("llama", {"trainable_token_indices": {"embed_tokens": [9, 10, 11]}}),
}
