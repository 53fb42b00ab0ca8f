"""Tests that a score covers the candidate's own tokens, whichever special tokens a tokenizer adds."""

import copy
import dataclasses
import re

import pytest
import torch
from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers import models as tokenizer_models
from transformers import LlamaConfig, PreTrainedTokenizerFast

from benchmarks import models, tasks
from benchmarks.data import tokenize
from benchmarks.errors import UserError
from benchmarks.evaluation.scoring import Scorer
from tests.benchmarks.evaluation.naive_scores import encode, log_probs, nano, rows_of

TEMPLATES = {
    "nothing": "$A",
    "BOS": "<s> $A",
    "EOS": "$A </s>",
    "BOS and EOS": "<s> $A </s>",
    "two before": "</s> <s> $A",
    "CLS and SEP twice": "<s> $A </s> </s>",
}
BEFORE = {
    "nothing": [],
    "BOS": [0],
    "EOS": [],
    "BOS and EOS": [0],
    "two before": [1, 0],
    "CLS and SEP twice": [0],
}
ROWS = [{"sentence": s, "label": 1} for s in ("the plot was lovely", "</s> a <s> film </s>", "good")]


def with_template(loaded, template, **changes):
    """Return a copy of a loaded model whose tokenizer adds special tokens as the template says."""
    tokenizer = copy.deepcopy(loaded.tokenizer)
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in ("<s>", "</s>")}
    tokenizer._tokenizer.post_processor = processors.TemplateProcessing(
        single=template, pair=f"{template} {template.replace('$A', '$B')}:1", special_tokens=list(ids.items())
    )
    for name, value in changes.items():
        setattr(tokenizer, name, value)
    return dataclasses.replace(loaded, tokenizer=tokenizer)


def own(loaded, text):
    return loaded.tokenizer(text, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("task_name", ["sst2", "record", "squad"])
def test_candidates_and_answers_have_only_their_own_tokens(name, task_name):
    loaded = with_template(nano("nano-llama"), TEMPLATES[name])
    task = tasks.load(task_name)
    rows = ROWS if task_name == "sst2" else rows_of(task, 3)
    for row, example in zip(rows, encode(rows, task, loaded, "lm"), strict=True):
        prompt = own(loaded, task.prompt(row))
        assert list(example.prompt) == BEFORE[name] + prompt
        for text, tokens in zip(task.candidates(row), example.candidates, strict=True):
            assert prompt + list(tokens) == own(loaded, task.prompt(row) + text)
        if task.loss == "teacher_forcing":
            first = example.gold if isinstance(example.gold, int) else example.gold[0]
            answer = task.answer(row) if task.answer else task.candidates(row)[first]
            assert prompt + list(example.answer) == own(loaded, task.prompt(row) + answer)


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("limit", [4, 5, 9, 30])
def test_truncation_keeps_what_the_tokenizer_adds_and_nothing_that_looks_like_it(name, limit):
    """The second row begins and ends with special tokens that are part of its text."""
    loaded = dataclasses.replace(with_template(nano("nano-llama"), TEMPLATES[name]), max_length=limit)
    task = tasks.load("sst2")
    for row, example in zip(ROWS, encode(ROWS, task, loaded, "lm"), strict=True):
        before, prompt = BEFORE[name], own(loaded, task.prompt(row))
        room = limit - 1 - len(before)
        assert list(example.prompt) == before + prompt[max(0, len(prompt) - room) :]
        assert len(example.prompt) + 1 == example.length <= limit


@pytest.mark.parametrize("scoring", ["shared", "per_candidate"])
@pytest.mark.parametrize("candidates", [[" terrible", " great"], [" terrible", " great and good"]])
@pytest.mark.parametrize(
    ("template", "special", "start"),
    [
        ("<s> $A </s>", {}, 0),
        ("$A </s>", {}, 0),
        ("$A", {}, 0),
        ("$A", {"bos_token": None}, 1),
        ("$A </s>", {"bos_token": None}, 1),
    ],
)
def test_an_empty_prompt_is_scored_after_bos_or_eos(template, special, start, candidates, scoring):
    loaded = with_template(nano("nano-llama"), template, **special)
    task = dataclasses.replace(
        tasks.load("sst2"), prompt=lambda row: row["sentence"], candidates=lambda row: candidates
    )
    rows = [{"sentence": s, "label": 0} for s in ("a lovely film", "", "good")]
    together = encode(rows, task, loaded, "lm")
    assert together[1].prompt == (start,)
    scorer = Scorer(loaded, task, "lm", scoring)
    expected = []
    for candidate in candidates:
        tokens = [start, *own(loaded, candidate)]
        table = log_probs(loaded, tokens)
        each = [float(table[i - 1][tokens[i]]) for i in range(1, len(tokens))]
        expected.append(sum(each) / len(each))
    for batch in (together, together[1:2]):
        scores = scorer.candidate_scores(batch)[1 if len(batch) > 1 else 0]
        assert scores.tolist() == pytest.approx(expected, abs=1e-5)


def test_an_empty_prompt_without_bos_and_eos_is_rejected():
    loaded = with_template(nano("nano-llama"), "$A", bos_token=None, eos_token=None)
    task = dataclasses.replace(tasks.load("sst2"), prompt=lambda row: row["sentence"])
    with pytest.raises(UserError, match=r"nano-llama: a prompt is empty, .* neither a BOS nor an EOS token"):
        encode([{"sentence": "", "label": 0}], task, loaded, "lm")
    encode([{"sentence": "good", "label": 0}], task, loaded, "lm")


@pytest.mark.parametrize("head", ["lm", "classification"])
def test_masked_models_and_heads_keep_all_special_tokens(head):
    loaded = with_template(nano("nano-roberta"), "<s> <s> $A </s>")
    task = tasks.load("sst2-cloze")
    (example,) = encode(ROWS[:1], task, loaded, head)
    text = task.cloze(ROWS[0], "<mask>") if head == "lm" else ROWS[0]["sentence"]
    assert list(example.prompt) == [0, 0, *own(loaded, text), 2]
    short = dataclasses.replace(loaded, max_length=6)
    (example,) = encode(ROWS[:1], task, short, head)
    assert [*example.prompt[:2], example.prompt[-1]] == [0, 0, 2]
    assert len(example.prompt) == 6


@pytest.mark.parametrize(("task_name", "field"), [("sst2", "candidates"), ("squad", "answer")])
def test_a_candidate_without_a_token_of_its_own_is_rejected(task_name, field):
    """The nano models' tokenizers drop spaces."""
    task = tasks.load(task_name)
    texts = [" great", "  "] if field == "candidates" else "  "
    task = dataclasses.replace(task, **{field: lambda row: texts})
    expected = f"task {task.title}: candidate '  ' has no token of its own in nano-opt"
    with pytest.raises(UserError, match=re.escape(expected)):
        encode(rows_of(task, 1), task, nano("nano-opt"), "lm")


def test_a_masked_model_rejects_candidates_with_equal_tokens():
    task = dataclasses.replace(tasks.load("sst2-cloze"), candidates=lambda row: [" great", "great"])
    with pytest.raises(UserError, match="'great' and 'great' have the same tokens in nano-roberta"):
        encode(ROWS[:1], task, nano("nano-roberta"), "lm")


def sentencepiece():
    """Build a BPE tokenizer like Llama 2's, which puts one more space before a text."""
    letters = ["<unk>", "<s>", "</s>", "▁", *"abcdefghijklmnopqrstuvwxyz:.", "▁g", "at"]
    ids = {token: i for i, token in enumerate(letters)}
    inner = Tokenizer(
        tokenizer_models.BPE(
            ids, [("▁", "g"), ("a", "t")], unk_token="<unk>", fuse_unk=True, byte_fallback=False
        )
    )
    inner.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    inner.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    inner.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<unk>"
    )


def byte_level(bos):
    """Build a byte-level BPE tokenizer like GPT-2's, whose only special token is in the text, too."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    ids = {token: i for i, token in enumerate(["<|endoftext|>", *letters, "Ġg", "at"])}
    inner = Tokenizer(tokenizer_models.BPE(ids, [("Ġ", "g"), ("a", "t")]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    if bos:
        inner.post_processor = processors.TemplateProcessing(
            single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 0)]
        )
    end = "<|endoftext|>"
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token=end, eos_token=end, unk_token=end, pad_token=end
    )


@pytest.mark.parametrize(
    ("tokenizer", "before"), [(sentencepiece(), [1]), (byte_level(False), []), (byte_level(True), [0])]
)
def test_real_kinds_of_tokenizers_score_only_the_continuation(tokenizer, before):
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=2,
        num_attention_heads=2, initializer_range=0.5,
    )  # fmt: skip
    torch.manual_seed(0)
    model = models.build(config, dtype=torch.float64).eval()
    loaded = models.LoadedModel(model, tokenizer, models.families()["llama"], "tiny", 64)
    end = tokenizer.eos_token
    task = dataclasses.replace(
        tasks.load("sst2"), prompt=lambda row: row["sentence"], candidates=lambda row: [" gat", " b"]
    )
    rows = [{"sentence": s, "label": 0} for s in ("it was:", f"{end} a.{end} b", "a")]
    examples = encode(rows, task, loaded, "lm")
    scores = Scorer(loaded, task).candidate_scores(examples)
    for row, example, found in zip(rows, examples, scores, strict=True):
        prompt = own(loaded, row["sentence"])
        assert list(example.prompt) == before + prompt
        for candidate, score in zip(task.candidates(row), found.tolist(), strict=True):
            tokens = before + own(loaded, row["sentence"] + candidate)
            begin = len(before) + len(prompt)
            table = log_probs(loaded, tokens)
            each = [float(table[i - 1][tokens[i]]) for i in range(begin, len(tokens))]
            assert score == pytest.approx(sum(each) / len(each), abs=1e-5)


def test_a_tokenizer_that_rewrites_texts_with_special_tokens_is_rejected():
    class Rewriting:
        all_special_ids = (0,)

        def get_vocab(self):
            return {"a": 0, "b": 1}

        def decode(self, ids):
            return str(ids[0])

        def __call__(self, texts, add_special_tokens=True, **_):
            one = isinstance(texts, str)
            ids = [[9] if add_special_tokens else [int(t)] for t in ([texts] if one else texts)]
            return {"input_ids": ids[0] if one else ids}

    loaded = models.LoadedModel(None, Rewriting(), models.families()["opt"], "odd", 64)
    with pytest.raises(UserError, match="model odd: its tokenizer changes a text's tokens"):
        tokenize.added(loaded)
