"""RoBERTa and BERT-like encoders: masked-LM prompts or a classification head (arXiv 1907.11692)."""

from benchmarks.models import Family


def nano(tokenizer):
    """About 240,000 parameters: 4 layers of width 64, tied embeddings.

    Its layers normalise what they read (arXiv 2202.08005), not what they write, as RoBERTa's do: so it learns
    to select by order in minutes. The fourth layer takes to the mask what the token before it foretells.
    """
    from transformers import RobertaPreLayerNormConfig

    return RobertaPreLayerNormConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=256,
        num_hidden_layers=4,
        num_attention_heads=4,
        max_position_embeddings=160 + tokenizer.pad_token_id + 1,
        type_vocab_size=1,
        initializer_range=0.1,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def positions(config) -> int:
    """RoBERTa counts positions from the one after its padding index."""
    offset = config.pad_token_id + 1 if config.model_type.startswith("roberta") else 0
    return config.max_position_embeddings - offset


FAMILY = Family(
    name="RoBERTa",
    masked=True,
    model_types=("roberta", "roberta-prelayernorm", "bert", "distilbert"),
    builtin=("nano-roberta", "minilm-l6"),
    nano=nano,
    positions=positions,
)
