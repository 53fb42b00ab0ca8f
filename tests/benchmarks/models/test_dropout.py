"""Tests that dropout can be switched off without leaving training mode."""

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    BloomConfig,
    FalconConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    OPTConfig,
    RobertaConfig,
    StableLmConfig,
)

from benchmarks import models
from benchmarks.models._dropout import Dropout

CONFIGS = {
    "opt": OPTConfig(
        vocab_size=40, hidden_size=16, word_embed_proj_dim=16, ffn_dim=32, num_hidden_layers=2,
        num_attention_heads=2, dropout=0.3, attention_dropout=0.3, layerdrop=0.3,
    ),
    "gpt2": GPT2Config(
        vocab_size=40, n_embd=16, n_layer=2, n_head=2, resid_pdrop=0.3, embd_pdrop=0.3, attn_pdrop=0.3,
        pad_token_id=0, bos_token_id=1, eos_token_id=2,
    ),
    "llama": LlamaConfig(
        vocab_size=40, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        attention_dropout=0.3, pad_token_id=0, bos_token_id=1, eos_token_id=2,
    ),
    "roberta": RobertaConfig(
        vocab_size=40, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        hidden_dropout_prob=0.3, attention_probs_dropout_prob=0.3,
    ),
}  # fmt: skip
# Architectures whose modules read probabilities under other names, or from their configuration.
SIZES = {"vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
OTHERS = {
    "bloom": BloomConfig(**SIZES, hidden_dropout=0.3, attention_dropout=0.3),
    "falcon": FalconConfig(**SIZES, hidden_dropout=0.3, attention_dropout=0.3),
    "gpt-neox": GPTNeoXConfig(**SIZES, intermediate_size=32, hidden_dropout=0.3, attention_dropout=0.3),
    "stablelm": StableLmConfig(
        **SIZES, intermediate_size=32, num_key_value_heads=2, hidden_dropout=0.3, attention_dropout=0.3
    ),
}


@pytest.mark.parametrize("family", CONFIGS | OTHERS)
@pytest.mark.parametrize("head", ["lm", "classification"])
def test_dropout_off_keeps_training_mode_and_equals_eval(family, head):
    labels = 2 if head == "classification" else None
    if family in CONFIGS:
        model = models.build(CONFIGS[family], dtype=torch.float32, head=head, num_labels=labels)
    elif head == "lm":
        model = AutoModelForCausalLM.from_config(OTHERS[family]).train()
    else:
        model = AutoModelForSequenceClassification.from_config(OTHERS[family]).train()
    tokens = torch.arange(3, 13)[None]
    dropout = Dropout(model)
    with torch.no_grad():
        assert not torch.equal(model(tokens).logits, model(tokens).logits)
        with dropout.off():
            assert all(module.training for module in model.modules())
            first, second = model(tokens).logits, model(tokens).logits
        assert not torch.equal(model(tokens).logits, model(tokens).logits)
        assert torch.equal(first, second)
        assert torch.equal(first, model.eval()(tokens).logits)


def test_dropout_is_restored_after_an_error():
    model = torch.nn.Sequential(torch.nn.Dropout(0.25))

    def broken():
        with Dropout(model).off():
            assert model[0].p == 0
            raise KeyError

    with pytest.raises(KeyError):
        broken()
    assert model[0].p == 0.25


def test_a_probability_that_modules_read_from_their_configuration_is_switched_off():
    class Drops(torch.nn.Module):
        def __init__(self, config):
            super().__init__()
            self.config = config

        def forward(self, x):
            return torch.nn.functional.dropout(x, self.config.hidden_dropout, self.training)

    config = BloomConfig(hidden_dropout=0.5, vocab_size=40)
    model, x = Drops(config), torch.ones(1000)
    assert (model(x) == 0).any()
    with Dropout(model).off():
        assert torch.equal(model(x), x)
    assert config.hidden_dropout == 0.5
