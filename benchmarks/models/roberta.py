"""RoBERTa and BERT-like encoders, with masked-LM prompts or a classification head (arXiv 1907.11692)."""

from benchmarks.models import Family
from benchmarks.models._generic import positions


def nano(tokenizer):
    """Return a nano configuration: 4 layers of width 64, tied embeddings, about 240,000 parameters.

    Its layers normalize their inputs (arXiv 2202.08005), while RoBERTa's normalize their outputs. This lets
    the model learn to select by order within minutes. The fourth layer carries the prediction of the token
    before the mask to the mask.
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


FAMILY = Family(
    name="RoBERTa",
    masked=True,
    model_types=("roberta", "roberta-prelayernorm", "bert", "distilbert"),
    builtin=("nano-roberta", "minilm-l6"),
    nano=nano,
    positions=positions,
)
