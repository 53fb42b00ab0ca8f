"""GPT-2: decoder with learned positions and tied embeddings (Radford et al. 2019); no built-in model."""

from benchmarks.models import Family


def nano(tokenizer):
    """Return a nano configuration: 3 layers of width 64 (Conv1D, not Linear), about 180,000 parameters."""
    from transformers import GPT2Config

    return GPT2Config(
        vocab_size=len(tokenizer),
        n_embd=64,
        n_layer=3,
        n_head=4,
        n_positions=160,
        initializer_range=0.1,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


FAMILY = Family(name="GPT-2", masked=False, model_types=("gpt2",), builtin=(), nano=nano)
