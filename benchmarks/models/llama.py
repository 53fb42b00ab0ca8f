"""Llama: decoder with rotary positions, RMS norm, and gated MLP (Touvron et al., arXiv 2302.13971)."""

from benchmarks.models import Family


def nano(tokenizer):
    """Return a nano configuration: 3 layers of width 64, untied embeddings, about 185,000 parameters."""
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=160,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=160,
        initializer_range=0.1,
        tie_word_embeddings=False,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


FAMILY = Family(
    name="Llama",
    masked=False,
    model_types=("llama",),
    builtin=("nano-llama", "smollm2-135m"),
    nano=nano,
)
