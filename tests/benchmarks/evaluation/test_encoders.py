"""Tests of what encoders read besides tokens, and of losses in 16 bits."""

import copy
import dataclasses
import re

import pytest
import torch
from tokenizers import processors

from benchmarks import models, tasks
from benchmarks.errors import UserError
from benchmarks.evaluation.scoring import Scorer
from tests.benchmarks.evaluation.architectures import small
from tests.benchmarks.evaluation.naive_scores import encode, nano, rows_of

PAIR = "<s>:0 $A:0 </s>:0 $B:1 </s>:1"


def with_types(loaded, pair=PAIR, single="<s>:0 $A:0 </s>:0"):
    """Return a copy of a loaded model whose tokenizer numbers the two texts, as BERT's does."""
    tokenizer = copy.deepcopy(loaded.tokenizer)
    ids = [(t, tokenizer.convert_tokens_to_ids(t)) for t in ("<s>", "</s>")]
    tokenizer._tokenizer.post_processor = processors.TemplateProcessing(
        single=single, pair=pair, special_tokens=ids
    )
    tokenizer.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
    return dataclasses.replace(loaded, tokenizer=tokenizer)


@pytest.mark.parametrize("name", ["albert", "bert", "deberta-v2", "electra", "fnet", "squeezebert"])
def test_a_head_reads_which_text_of_a_pair_a_token_belongs_to(name):
    loaded, task = with_types(small(name, "masked", "classification")), tasks.load("rte")
    rows = rows_of(task, 4)
    for row, words in zip(rows, (5, 20, 9, 14), strict=True):
        row["premise"] = " ".join(row["premise"].split()[:words])
    scorer = Scorer(loaded, task, "classification")
    without_types = 0
    found = scorer.candidate_scores(encode(rows, task, loaded, "classification"))
    for row, scores in zip(rows, found, strict=True):
        inputs = loaded.tokenizer(*task.inputs(row), return_tensors="pt")
        assert {*inputs["token_type_ids"][0].tolist()} == {0, 1}
        with torch.no_grad():
            alone = loaded.model(**{k: v for k, v in inputs.items() if k in scorer.padding.accepted}).logits
            untyped = loaded.model(input_ids=inputs["input_ids"]).logits
        assert scores.tolist() == pytest.approx(alone[0].log_softmax(-1).tolist(), abs=1e-5)
        without_types += float((alone - untyped).norm())
    # DeBERTa has no token types.
    assert (without_types > 1e-3) == (name != "deberta-v2")


@pytest.mark.parametrize("room", [60, 12])
def test_a_mask_is_scored_with_the_types_of_its_tokens_even_if_truncated(room):
    """Funnel and XLNet, for example, give their own type to the first token."""
    loaded = with_types(small("bert", "masked"), single="<s>:1 $A:0 </s>:0")
    loaded = dataclasses.replace(loaded, max_length=room)
    task = tasks.load("sst2-cloze")
    rows = rows_of(task, 4)
    examples = encode(rows, task, loaded, "lm")
    for example, scores in zip(examples, Scorer(loaded, task).candidate_scores(examples), strict=True):
        assert example.types == (1,) + (0,) * (len(example.prompt) - 1)
        assert len(example.prompt) <= room
        ids = {"input_ids": example.prompt, "token_type_ids": example.types}
        with torch.no_grad():
            logits = loaded.model(**{k: torch.tensor([v]) for k, v in ids.items()}).logits[0]
        table = logits[example.prompt.index(loaded.tokenizer.mask_token_id)].log_softmax(-1)
        assert scores.tolist() == pytest.approx([float(table[c]) for (c,) in example.candidates], abs=1e-9)


def test_a_tokenizer_with_more_token_types_than_its_model_is_rejected():
    loaded = with_types(small("roberta", "masked", "classification"), PAIR.replace(":1", ":7"))
    task = tasks.load("rte")
    expected = "small-roberta: its tokenizer produces token type 7, but it has only 2 token type embeddings"
    with pytest.raises(UserError, match=re.escape(expected)):
        encode(rows_of(task, 2), task, loaded, "classification")


def test_a_decoder_gets_no_token_types():
    """GPT-2 would add the embeddings of the words 0 and 1."""
    loaded, task = with_types(small("gpt2", "causal", "classification")), tasks.load("rte")
    examples = encode(rows_of(task, 2), task, loaded, "classification")
    assert all(e.types == () for e in examples)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    ("kind", "name", "head", "task_name"),
    [
        ("masked", "bert", "classification", "rte"),
        ("masked", "roberta", "classification", "rte"),
        ("masked", "roberta", "lm", "sst2-cloze"),
        ("causal", "gpt2", "classification", "rte"),
        ("causal", "llama", "lm", "sst2"),
        ("causal", "llama", "lm", "squad"),
    ],
)
def test_a_loss_in_16_bits_is_the_float32_loss_of_the_models_logits(kind, name, head, task_name, dtype):
    """The independent value is in float64, from the same 16-bit logits; its 16-bit neighbors are far away."""
    loaded, task = small(name, kind, head, dtype), tasks.load(task_name)
    rows = [rows_of(task, 1)[0]]
    examples = encode(rows, task, loaded, head)
    loss = Scorer(loaded, task, head).loss(examples)
    assert loss.dtype == torch.float32
    (example,) = examples
    tokens = torch.tensor([[*example.prompt, *example.answer]])
    with torch.no_grad():
        logits = loaded.model(input_ids=tokens).logits[0]
    assert logits.dtype == dtype
    table = logits.double().log_softmax(-1)
    if head == "classification":
        expected = -table[example.gold]
    elif task.loss == "teacher_forcing":
        first = len(example.prompt)
        expected = -sum(table[first + i - 1][t] for i, t in enumerate(example.answer)) / len(example.answer)
    else:
        at = example.prompt.index(loaded.tokenizer.mask_token_id) if kind == "masked" else -1
        scores = table[at][[c for (c,) in example.candidates]]
        expected = -scores.log_softmax(0)[example.gold]
    assert loss.item() == pytest.approx(float(expected), rel=2e-6)


def test_configured_and_used_padding_tokens_may_differ(tmp_path):
    """RoBERTa's positions start after the configured padding token, whatever the tokenizer pads with."""
    source = nano("nano-roberta")
    source.model.save_pretrained(tmp_path)
    tokenizer = copy.deepcopy(source.tokenizer)
    tokenizer.pad_token = None
    tokenizer.save_pretrained(tmp_path)
    loaded = models.load(str(tmp_path), dtype=torch.float64, device="cpu", head="lm")
    assert loaded.tokenizer.pad_token_id != source.tokenizer.pad_token_id
    task = tasks.load("sst2-cloze")
    rows = rows_of(task, 4)
    found, expected = (
        torch.stack(Scorer(m, task).candidate_scores(encode(rows, task, m, "lm"))) for m in (loaded, source)
    )
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)
