"""Tests of the nano models: their size, their tokenizers, and predictions that do not depend on padding."""

import re
from random import Random

import pytest
import torch

from benchmarks import models, registry
from benchmarks.data.example import Example
from benchmarks.data.tokenize import encode
from benchmarks.suites import quick
from benchmarks.tasks import load
from tests.benchmarks.models.nano_models import NANO, nano


@pytest.mark.parametrize("name", NANO)
def test_a_nano_model_is_small_and_ready_to_train(name):
    loaded = nano(name)
    parameters = sum(p.numel() for p in loaded.model.parameters())
    assert 150_000 <= parameters <= 400_000
    assert sum(f.stat().st_size for f in (models.WEIGHTS / name).iterdir()) <= 1_500_000
    assert loaded.model.training
    assert loaded.max_length == 160
    assert loaded.name == name
    assert loaded.model.config._attn_implementation == "sdpa"
    assert {m.p for m in loaded.model.modules() if isinstance(m, torch.nn.Dropout)} <= {0.0}
    side = "right" if loaded.family.masked else "left"
    assert loaded.tokenizer.padding_side == loaded.tokenizer.truncation_side == side
    rows = loaded.model.get_input_embeddings().num_embeddings
    assert len(loaded.tokenizer) == rows
    assert loaded.tokenizer.pad_token_id < rows


def test_there_are_models_with_tied_and_with_untied_embeddings():
    tied = {nano(name).model.config.tie_word_embeddings for name in NANO}
    assert tied == {True, False}


@pytest.mark.parametrize("name", NANO)
@pytest.mark.parametrize("task", quick.TASKS)
def test_every_word_of_the_built_in_rows_is_one_token(name, task):
    tokenizer = nano(name).tokenizer
    rng = Random(task)
    for _ in range(100):
        row = load(task).generate(rng)
        text = load(task).prompt(row)
        ids = tokenizer(text, add_special_tokens=False).input_ids
        assert [tokenizer.convert_ids_to_tokens(i) for i in ids] == re.findall(r"\n|\w+|[^\w\s]", text)
        if load(task).loss == "classification":
            for word in load(task).candidates(row):
                joint = tokenizer(text + word, add_special_tokens=False).input_ids
                assert joint[:-1] == ids


@pytest.mark.parametrize(
    "name", [name for name in registry.files("task") if load(name).loss == "classification"]
)
def test_prompts_and_answers_have_no_unknown_tokens_for_the_masked_model(name):
    loaded, task, rng = nano("nano-roberta"), load(name), Random(name)
    examples = [Example(task, task.generate(rng)) for _ in range(100)]
    for example in encode(examples, task, loaded, "lm"):
        assert loaded.tokenizer.unk_token_id not in example.prompt
        words = [loaded.tokenizer.decode(c) for c in example.candidates]
        assert words == [text.strip() for text in examples[0].candidates]


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [("nano-opt", "</s>", "great"), ("nano-llama", "<s>", "great"), ("nano-roberta", "<s>", "</s>")],
)
def test_special_tokens_are_where_the_architecture_expects_them(name, first, last):
    tokenizer = nano(name).tokenizer
    ids = tokenizer("It was great").input_ids
    assert tokenizer.convert_ids_to_tokens(ids)[0] == first
    assert tokenizer.convert_ids_to_tokens(ids)[-1] == last
    assert tokenizer.decode(ids, skip_special_tokens=True) == "It was great"


def test_the_mask_is_one_token():
    tokenizer = nano("nano-roberta").tokenizer
    ids = tokenizer("It was <mask>").input_ids
    assert ids.count(tokenizer.mask_token_id) == 1
    assert len(ids) == 5


@pytest.mark.parametrize("name", NANO)
def test_padding_changes_no_prediction(name):
    loaded = nano(name)
    texts = ["Tom sold apples. It was", "the plot was dull but the cast seemed witty . It was"]
    batch = loaded.tokenizer(texts, return_tensors="pt", padding=True)
    both = loaded.model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
    for i, text in enumerate(texts):
        alone = loaded.model(input_ids=loaded.tokenizer(text, return_tensors="pt").input_ids).logits[0]
        unpadded = both[i][batch.attention_mask[i].bool()]
        torch.testing.assert_close(unpadded, alone, atol=1e-4, rtol=1e-4)
