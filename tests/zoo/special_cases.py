"""Special cases of architectures: settings that names of fields do not reveal, and what cannot be built."""

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
    "reformer": {"attn_layers": ["local", "local"], "axial_pos_embds": False},
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
        "rope_parameters": {
            "full_attention": {"rope_type": "default", "rope_theta": 10000.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
        }
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
    # Sizes of the stages of image models.
    "bit": {"num_groups": 4},
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
        "stage_in_channels": [8] * 4,
        "stage_mid_channels": [8] * 4,
        "stage_out_channels": [8] * 4,
        "hidden_sizes": [8] * 4,
    },
    "hiera": {"image_size": [64, 64]},
    "levit": {"patch_size": 16, "key_dim": [4, 4, 4]},
    "mobilenet_v1": {"depth_multiplier": 0.25},
    "mobilenet_v2": {"depth_multiplier": 0.25},
    "mobilevitv2": {"patch_size": 2},
    "swin": {"depths": [1, 1], "num_heads": [2, 2]},
    "textnet": {"image_size": [64, 64], "stem_out_channels": 8},
    # Lengths and channels of sounds.
    "audio-spectrogram-transformer": {"max_length": 32, "num_mel_bins": 16},
    "phi4_multimodal_audio": {
        "num_blocks": 2,
        "ext_pw_out_channel": 16,
        "depthwise_separable_out_channel": 16,
        "nemo_conv_channels": 16,
    },
    # By default, the logits of a tiny model are almost constant.
    "inkling_text": {"logits_mup_width_multiplier": 1.0},
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

#: Model types that zeroth-order methods reject, with a pattern of the error. Only IP-SGD is tested.
REJECTED = {"reformer": r"gave torch's generator two different seeds .*torch\.seed"}

#: Model types whose backward pass fails in torch itself, with the reason. Only MeZO is tested.
NO_BACKWARD = {"xlstm": "the kernels overwrite tensors that the backward pass needs"}

#: (mapping, model type) that cannot be built, with the reason.
NOT_BUILT = {
    ("IMAGE_CLASSIFICATION", "dinat"): "requires natten",
    ("IMAGE_CLASSIFICATION", "perceiver"): "reads images under the name of its texts",
    ("IMAGE_CLASSIFICATION", "shieldgemma2"): "requires an image and a text",
    ("IMAGE_CLASSIFICATION", "siglip2"): "requires patches of images",
    ("IMAGE_CLASSIFICATION", "timm_wrapper"): "requires timm",
    ("CAUSAL_LM", "dots3_note"): "settings are given for the layers of the full size",
    ("CAUSAL_LM", "dots3_note_text"): "settings are given for the layers of the full size",
    ("CAUSAL_LM", "gemma3n"): "requires timm",
    ("CAUSAL_LM", "gemma4_assistant"): "the default configuration is invalid",
    ("CAUSAL_LM", "gemma4_unified_assistant"): "requires another model's keys and values",
    ("CAUSAL_LM", "musicgen"): "the mapping pairs the decoder with the configuration of the whole model",
    (
        "CAUSAL_LM",
        "musicgen_melody",
    ): "the mapping pairs the decoder with the configuration of the whole model",
    ("SEQUENCE_CLASSIFICATION", "layoutlmv2"): "requires detectron2",
    ("SEQ_TO_SEQ_CAUSAL_LM", "vibevoice_asr"): "the audio encoder is large by construction",
    ("SEQ_TO_SEQ_CAUSAL_LM", "voxtral_realtime"): "requires audio",
}
