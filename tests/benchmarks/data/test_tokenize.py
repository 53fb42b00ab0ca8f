"""Tests of tokenization: truncation, clozes, candidates that merge with the prompt, and invalid input."""

import dataclasses
import re

import pytest
import torch
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers import decoders as bpe_decoders
from tokenizers import models as bpe_models
from transformers import OPTConfig, PreTrainedTokenizerFast

from benchmarks import models, tasks
from benchmarks.data.tokenize import new_tokens
from benchmarks.errors import UserError
from benchmarks.evaluation import evaluate
from benchmarks.evaluation.scoring import Scorer
from benchmarks.synthetic import nano_tokenizer as _nano
from tests.benchmarks.evaluation.naive_scores import CAUSAL, MASKED, close, encode, log_probs, nano, rows_of

WORDY = [{"premise": "one two three four five six seven eight nine ten", "label": 0}]


@pytest.mark.parametrize("name", CAUSAL + MASKED)
def test_truncation_keeps_the_first_special_token_and_the_end(name):
    task = tasks.load("boolq")
    loaded = dataclasses.replace(nano(name), max_length=16)
    rows = rows_of(task)
    for row, example in zip(rows, encode(rows, task, loaded, "lm"), strict=True):
        text = task.prompt(row) + (f" {loaded.tokenizer.mask_token}" if loaded.family.masked else "")
        whole = loaded.tokenizer(text)["input_ids"]
        room = 16 if loaded.family.masked else 15
        assert len(whole) > 16
        assert list(example.prompt) == [whole[0], *whole[-(room - 1) :]]
        assert example.length == 16
    scorer = Scorer(loaded, task)
    examples = encode(rows, task, loaded, "lm")
    for example, scores in zip(examples, scorer.candidate_scores(examples), strict=True):
        position = -1
        if loaded.family.masked:
            position = example.prompt.index(loaded.tokenizer.mask_token_id)
        alone = log_probs(loaded, list(example.prompt))[position]
        assert scores.tolist() == pytest.approx(
            [float(alone[c[0]]) for c in example.candidates], abs=close(name, torch.float64)
        )


@pytest.mark.parametrize(
    ("cloze", "room", "kept"),
    [
        # The mask is last, first, or in the middle, where the longer side loses its outer tokens first.
        ("{premise} It was {mask}.", 8, "<s> nine ten It was <mask> . </s>"),
        ("{mask} : {premise}", 8, "<s> <mask> : one two three four </s>"),
        ("{premise} ? {mask} , {premise}", 9, "<s> nine ten ? <mask> , one two </s>"),
        ("{premise} ? {mask} , no", 9, "<s> eight nine ten ? <mask> , no </s>"),
        ("no ? {mask} , {premise}", 9, "<s> no ? <mask> , one two three </s>"),
        ("{premise} It was {mask}.", 3, "<s> <mask> </s>"),
        ("{premise} {mask}", 14, "<s> one two three four five six seven eight nine ten <mask> </s>"),
    ],
)
def test_truncation_never_removes_the_mask_of_a_cloze(cloze, room, kept):
    task = dataclasses.replace(
        tasks.load("rte-cloze"), cloze=lambda row, mask: cloze.format(mask=mask, premise=row["premise"])
    )
    words = sorted({*WORDY[0]["premise"].split(), "It", "was", "no", "Yes", "No", ".", "?", ",", ":"})
    roberta = models.families()["roberta"]
    loaded = models.LoadedModel(None, _nano.tokenizer(roberta, words, 99), roberta, "tiny", room)
    (example,) = encode(WORDY, task, loaded, "lm")
    assert loaded.tokenizer.convert_ids_to_tokens(example.prompt) == kept.split()
    assert example.length == len(example.prompt)


@pytest.mark.parametrize(
    ("cloze", "expected"),
    [
        ("{text} It was.", "the cloze must have one mask, not 0: 'a film It was.'"),
        ("{mask} or {mask}", "the cloze must have one mask, not 2"),
    ],
)
def test_a_cloze_without_exactly_one_mask_is_rejected(cloze, expected):
    task = dataclasses.replace(
        tasks.load("sst2-cloze"), cloze=lambda row, mask: cloze.format(text=row["sentence"], mask=mask)
    )
    with pytest.raises(UserError, match=f"task SST-2: {re.escape(expected)}"):
        encode([{"sentence": "a film", "label": 1}], task, nano("nano-roberta"), "lm")


def test_a_causal_model_rejects_label_words_with_equal_tokens():
    task = tasks.load("trec")
    with pytest.raises(UserError, match="'Description' and 'Entity' have the same tokens in nano-opt"):
        encode(rows_of(task, 1), task, nano("nano-opt"), "lm")


def test_generation_leaves_room_for_its_answer():
    task = tasks.load("squad")
    loaded = dataclasses.replace(nano("nano-opt"), max_length=100)
    for example in encode(rows_of(task, 20), task, loaded, "lm"):
        assert len(example.prompt) <= 100 - task.max_new_tokens
        assert example.prompt[0] == loaded.tokenizer.bos_token_id
        assert example.length == len(example.prompt) + len(example.answer)


def test_a_long_answer_leaves_half_of_the_tokens_to_the_prompt():
    task = tasks.load("gsm8k")
    loaded = dataclasses.replace(nano("nano-opt"), max_length=60)
    assert task.max_new_tokens == 200
    assert new_tokens(task, loaded) == 30
    assert new_tokens(task, dataclasses.replace(loaded, max_length=2048)) == 200
    row = rows_of(task, 1)[0]
    (example,) = encode([row | {"question": "it was long. " * 30}], task, loaded, "lm")
    assert len(example.prompt) == 30
    texts = evaluate.generate(Scorer(loaded, task), [example])
    assert len(loaded.tokenizer(texts[0], add_special_tokens=False)["input_ids"]) <= 30
    long = row | {"answer": "so it is " * 20 + row["answer"]}
    with pytest.raises(
        UserError,
        match=r"an answer of \d+ tokens leaves no room for its prompt: nano-opt takes at most 60 tokens",
    ):
        encode([long], task, loaded, "lm")


def merging_bpe():
    """Build a byte-level BPE tokenizer that merges "a" + "t", so "wat" is not tokenized as "wa" + "t"."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    ids = {token: i for i, token in enumerate(["</s>", *letters, "at", "Ġw"])}
    inner = Tokenizer(bpe_models.BPE(ids, [("a", "t"), ("Ġ", "w")]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = bpe_decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="</s>", pad_token="</s>")


def test_candidates_that_merge_with_the_prompt_are_tokenized_with_it():
    tokenizer = merging_bpe()
    task = dataclasses.replace(
        tasks.load("sst2"), prompt=lambda row: row["sentence"], candidates=lambda row: ["t", "n", "te"]
    )
    config = OPTConfig(
        vocab_size=len(tokenizer), hidden_size=16, word_embed_proj_dim=16, ffn_dim=16, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=64, dropout=0.0, pad_token_id=0,
    )  # fmt: skip
    torch.manual_seed(0)
    model = models.build(config, dtype=torch.float64)
    loaded = models.LoadedModel(model, tokenizer, models.families()["opt"], "tiny", 64)
    rows = [{"sentence": s, "label": 0} for s in ("he wa", "and then again she wa")]
    names = tokenizer.convert_ids_to_tokens
    examples = encode(rows, task, loaded, "lm")
    assert names(list(examples[0].prompt)) == ["h", "e", "Ġw"]
    assert [names(list(c)) for c in examples[0].candidates] == [["at"], ["a", "n"], ["at", "e"]]
    for scoring in ("shared", "per_candidate"):
        got = Scorer(loaded, task, "lm", scoring).candidate_scores(examples)
        for row, scores in zip(rows, got, strict=True):
            common = len(tokenizer(row["sentence"])["input_ids"]) - 1
            for candidate, score in zip(("t", "n", "te"), scores.tolist(), strict=True):
                tokens = tokenizer(row["sentence"] + candidate)["input_ids"]
                table = log_probs(loaded, tokens)
                each = [float(table[i - 1][tokens[i]]) for i in range(common, len(tokens))]
                assert score == pytest.approx(sum(each) / len(each), abs=1e-10)


def test_a_masked_model_rejects_a_candidate_of_two_tokens_and_generation():
    loaded = nano("nano-roberta")
    task = dataclasses.replace(tasks.load("sst2"), candidates=lambda row: [" great", " not great"])
    with pytest.raises(UserError, match=r"'not great' is not one token of nano-roberta") as error:
        encode(rows_of(task, 1), task, loaded, "lm")
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="SQuAD needs a causal model"):
        encode(rows_of(tasks.load("squad"), 1), tasks.load("squad"), loaded, "lm")
