"""OPT: decoder with learned positions and tied embeddings (Zhang et al., arXiv 2205.01068)."""

from benchmarks.models import Family


def nano(tokenizer):
    """Return a nano configuration: 3 layers of width 64, tied embeddings, about 185,000 parameters."""
    from transformers import OPTConfig

    return OPTConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        word_embed_proj_dim=64,
        ffn_dim=256,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=160,
        init_std=0.1,
        dropout=0.0,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


FAMILY = Family(name="OPT", masked=False, model_types=("opt",), builtin=("nano-opt",), nano=nano)
