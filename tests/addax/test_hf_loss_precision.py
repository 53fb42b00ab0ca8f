"""Tests that projected_grad of a 16-bit model is that of a float32 loss, whatever computes the loss."""

import pytest
import torch
from torch.nn import functional as F

from baselines.mezo import MeZO
from tests.addax.trainers import trainer
from tests.numerics.oracle import generator

EPS, VOCABULARY, ROWS, WIDTH = 1e-3, 23, 4, 9
# Two float32 losses near 3 that sum in a different order differ by a few units of 2.4e-7.
TOLERANCE = 1e-6 / (2 * EPS)


def models():
    import transformers as T

    sizes = {
        "vocab_size": VOCABULARY, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2,
        "num_attention_heads": 2, "max_position_embeddings": 32,
    }  # fmt: skip
    encoder = sizes | {
        "pad_token_id": 0,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }
    bart = {
        "vocab_size": VOCABULARY, "d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "dropout": 0.0,
        "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "encoder_attention_heads": 2,
        "decoder_attention_heads": 2, "max_position_embeddings": 32, "pad_token_id": 0, "bos_token_id": 1,
        "eos_token_id": 2, "decoder_start_token_id": 2, "forced_eos_token_id": 2,
    }  # fmt: skip
    return {
        "bert": (T.BertForSequenceClassification, T.BertConfig(**encoder)),
        "bert mlm": (T.BertForMaskedLM, T.BertConfig(**encoder)),
        "roberta": (T.RobertaForSequenceClassification, T.RobertaConfig(**encoder)),
        "roberta tokens": (T.RobertaForTokenClassification, T.RobertaConfig(**encoder)),
        "bart": (T.BartForConditionalGeneration, T.BartConfig(**bart)),
        "t5": (
            T.T5ForConditionalGeneration,
            T.T5Config(vocab_size=VOCABULARY, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2,
                       dropout_rate=0.0, decoder_start_token_id=0, pad_token_id=0),
        ),
        "gpt2": (
            T.GPT2LMHeadModel,
            T.GPT2Config(vocab_size=VOCABULARY, n_embd=16, n_layer=2, n_head=2, n_positions=32,
                         resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=1, eos_token_id=1),
        ),
        "opt": (
            T.OPTForCausalLM,
            T.OPTConfig(vocab_size=VOCABULARY, hidden_size=16, ffn_dim=32, num_hidden_layers=2, dropout=0.0,
                        num_attention_heads=2, max_position_embeddings=32, word_embed_proj_dim=16,
                        attention_dropout=0.0, pad_token_id=0),
        ),
        "llama": (T.LlamaForCausalLM, T.LlamaConfig(**sizes)),
        "llama classes": (T.LlamaForSequenceClassification, T.LlamaConfig(**sizes, pad_token_id=0)),
    }  # fmt: skip


NAMES = list(models())


def build(name, dtype):
    model_class, config = models()[name]
    torch.manual_seed(0)
    model = model_class(config).to(dtype)
    if hasattr(model, "all_tied_weights_keys"):
        model.tie_weights()
    return model


def batch(name):
    ids = torch.randint(3, VOCABULARY, (ROWS, WIDTH), generator=generator(1))
    if name in ("bert", "roberta", "llama classes"):
        labels = torch.tensor([0, 1, 1, 0])
    elif name == "roberta tokens":
        labels = torch.randint(0, 2, (ROWS, WIDTH), generator=generator(2))
    else:
        labels = ids.clone()
        labels[:, :3] = -100
    return {"input_ids": ids, "labels": labels, "attention_mask": torch.ones_like(ids)}


def float32_loss(name, logits, labels, smoothing=0.0):
    """Return the mean loss from upcast logits."""
    logits = logits.float()
    if name in ("gpt2", "opt", "llama"):
        logits, labels = logits[:, :-1], labels[:, 1:]
    return F.cross_entropy(logits.flatten(0, -2), labels.flatten(), label_smoothing=smoothing)


def projected_grads(name, dtype, tmp_path, smoothing=0.0, **given):
    """Return projected_grad of a trainer's step, and of a step on the logits of an equal model."""
    rows = batch(name)
    examples = [{k: v[i] for k, v in rows.items()} for i in range(ROWS)]
    changes = {
        "per_device_train_batch_size": ROWS, "max_steps": 1, "label_smoothing_factor": smoothing,
    }  # fmt: skip
    ours = trainer(
        tmp_path, build(name, dtype), changes, train_dataset=examples,
        data_collator=lambda rows: {k: torch.stack([r[k] for r in rows]) for k in rows[0]},
        optimizer_cls_and_kwargs=(MeZO, {"seed": 5, "eps": EPS}), **given,
    )  # fmt: skip
    ours.train()

    model = build(name, dtype).train()
    inputs = {k: v for k, v in rows.items() if k != "labels"}
    if name in ("bart", "t5"):
        inputs["decoder_input_ids"] = model.prepare_decoder_input_ids_from_labels(labels=rows["labels"])

    def loss():
        return float32_loss(name, model(**inputs).logits, rows["labels"], smoothing)

    expected = MeZO(model, lr=0.0, seed=5, eps=EPS).step(zo_loss=loss)
    return float(ours.stats.projected_grad), float(expected.projected_grad)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_projected_grad_is_that_of_a_float32_loss(tmp_path, name, dtype):
    """In the dtype of the model, projected_grad would be a multiple of 0.98 or 7.8 at a loss of 3."""
    got, expected = projected_grads(name, dtype, tmp_path)
    assert got == pytest.approx(expected, abs=TOLERANCE)
    assert abs(expected) > 1e-2


@pytest.mark.parametrize("name", ["bert", "gpt2", "roberta tokens"])
def test_label_smoothing_is_computed_in_float32(tmp_path, name):
    got, expected = projected_grads(name, torch.bfloat16, tmp_path, smoothing=0.3)
    assert got == pytest.approx(expected, abs=TOLERANCE)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_loss_function_of_the_user_is_computed_in_float32(tmp_path, reduction):
    """It gets 16-bit logits and the number of labels, as in a plain Trainer."""

    def compute(outputs, labels, num_items_in_batch=None):
        logits = outputs["logits"][:, :-1].flatten(0, 1)
        loss = F.cross_entropy(logits, labels[:, 1:].flatten(), reduction=reduction)
        return loss if reduction == "mean" else loss / num_items_in_batch

    got, expected = projected_grads("opt", torch.bfloat16, tmp_path, compute_loss_func=compute)
    assert got == pytest.approx(expected, abs=TOLERANCE)


def test_a_loss_that_stays_in_16_bit_is_rejected(tmp_path):
    def compute(outputs, labels, num_items_in_batch=None):
        return outputs["logits"].square().mean(-1)[0, 0]

    with pytest.raises(ValueError, match="16-bit"):
        projected_grads("opt", torch.bfloat16, tmp_path, compute_loss_func=compute)
