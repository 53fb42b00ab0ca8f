"""Tests of in-context learning: the text, the draw, truncation, and scores against rows scored by hand."""

import dataclasses
import json
from random import Random

import pytest
import torch
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers import decoders as bpe_decoders
from tokenizers import models as bpe_models
from transformers import OPTConfig, PreTrainedTokenizerFast

from benchmarks import models, tasks
from benchmarks.config.labels import label
from benchmarks.config.spec import from_dict
from benchmarks.data import demonstrations
from benchmarks.data.demonstrations import drawn, encode_after, text_of
from benchmarks.data.example import Example
from benchmarks.errors import UserError
from benchmarks.evaluation.scoring import Scorer
from benchmarks.models import LoadedModel
from benchmarks.results import row as schema
from benchmarks.training import run as train
from tests.benchmarks.evaluation.naive_scores import CAUSAL, close, log_probs, nano

NAMES = pytest.mark.parametrize("name", CAUSAL)


def examples_of(name, count, seed="pool"):
    task, rng = tasks.load(name), Random(seed)
    return [Example(task, task.generate(rng)) for _ in range(count)]


def by_hand(example, pool, count, seed=0):
    """Return the whole text before the answer."""
    texts = [
        (e.task.prompt(e.row) + (e.task.answer(e.row) if e.task.answer else e.candidates[e.gold])).strip()
        for e in pool
    ]
    return "\n\n".join([*drawn(example, texts, count, seed), example.task.prompt(example.row)])


def test_a_demonstration_is_a_prompt_with_its_answer():
    row = {"sentence": "a dull film", "label": 0}
    assert text_of(Example(tasks.load("sst2"), row)) == "a dull film It was terrible"
    row = {"passage": "Ida won.", "question": "Who won?", "answers": ["Ida", "she"]}
    assert text_of(Example(tasks.load("drop"), row)) == "Passage: Ida won.\nQuestion: Who won?\nAnswer: Ida"
    task = tasks.load("sst2")
    found = demonstrations.Demonstrated(task, {"sentence": "a warm film", "label": 1}, ("one", "two"))
    assert found.prompt == "one\n\ntwo\n\na warm film It was"
    assert (found.candidates, found.gold) == ([" terrible", " great"], 1)


def test_each_example_has_a_draw_of_its_own_which_depends_on_it_and_the_seed_alone():
    pool, examples = [str(i) for i in range(40)], examples_of("sst2", 30, "test")
    draws = [drawn(e, pool, 8, 0) for e in examples]
    assert [drawn(e, pool, 8, 0) for e in reversed(examples)] == draws[::-1]
    assert all(len(set(d)) == 8 for d in draws)
    assert len(set(draws)) == len(draws)
    assert {text for d in draws for text in d} == set(pool)
    assert all(drawn(e, pool, 8, 1) != d for e, d in zip(examples, draws, strict=True))


@pytest.mark.medium
@NAMES
@pytest.mark.parametrize("scoring", ["shared", "per_candidate"])
@pytest.mark.parametrize(("task_name", "count"), [("sst2", 3), ("copa", 1), ("squad", 1), ("record", 20)])
def test_scores_equal_those_of_whole_texts_scored_by_hand_in_float64(name, task_name, count, scoring):
    """The twenty demonstrations of ReCoRD do not fit, so the text loses its leftmost tokens."""
    task, loaded = tasks.load(task_name), nano(name)
    pool, examples = examples_of(task_name, 24), examples_of(task_name, 4, "test")
    encoded, whole = encode_after(pool, examples, count, 0, task, loaded)
    assert (max(whole) < count) == (task_name == "record")
    scorer = Scorer(loaded, task, "lm", scoring)

    def score(example, continuations):
        """Return the mean log-likelihoods of continuations, which share the context of the longest."""
        text = by_hand(example, pool, count)
        start, *tokens = loaded.tokenizer(text)["input_ids"]
        tails = [loaded.tokenizer(text + c)["input_ids"][1 + len(tokens) :] for c in continuations]
        reserved = max(len(tail) for tail in tails)
        if task.generative:
            reserved = max(reserved, min(task.max_new_tokens, loaded.max_length // 2))
        kept = tokens[max(0, len(tokens) - (loaded.max_length - reserved - 1)) :]
        found = []
        for tail in tails:
            table = log_probs(loaded, [start, *kept, *tail])[len(kept) : -1]
            found.append(float(table[range(len(tail)), tail].mean()))
        return found

    if task.generative:
        wanted = [score(e, [e.answer])[0] for e in examples]
        assert scorer.answer_scores(encoded).tolist() == pytest.approx(wanted, abs=close(name, torch.float64))
        return
    for example, scores in zip(examples, scorer.candidate_scores(encoded), strict=True):
        wanted = score(example, example.candidates)
        assert scores.tolist() == pytest.approx(wanted, abs=close(name, torch.float64))


def byte_pairs(max_length):
    """Return a model-less loaded model whose tokenizer merges two newlines, and "a" + "t", into one token."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    ids = {token: i for i, token in enumerate(["</s>", *letters, "ĊĊ", "at", "wat"])}
    inner = Tokenizer(bpe_models.BPE(ids, [("Ċ", "Ċ"), ("a", "t")]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = bpe_decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="</s>", bos_token="</s>")
    family = models.family_of(OPTConfig().model_type, "test")
    return LoadedModel(None, tokenizer, family, "bytes", max_length)


@pytest.mark.parametrize("max_length", [16, 40, 77, 150, 1000])
@pytest.mark.parametrize("candidates", [[" no", " yes"], ["t", "s"]])
def test_long_contexts_lose_their_leftmost_tokens_and_whole_demonstrations_are_counted(
    max_length, candidates
):
    """The reference tokenizes the whole text. Some prompts alone are longer than the shortest maximum.

    The candidate "t" changes the last token of a prompt.
    """
    task = dataclasses.replace(
        tasks.load("sst2"), prompt=lambda row: f"{row['sentence']} wa", candidates=lambda row: candidates
    )
    rng = Random(4)
    rows = [{"sentence": "x" * rng.randint(1, 24), "label": rng.randint(0, 1)} for _ in range(20)]
    pool, examples = [Example(task, r) for r in rows[:12]], [Example(task, r) for r in rows[12:]]
    loaded, count = byte_pairs(max_length), 8
    encoded, whole = encode_after(pool, examples, count, 0, task, loaded)
    for example, found, number in zip(examples, encoded, whole, strict=True):
        text = by_hand(example, pool, count)
        batch = loaded.tokenizer(text, return_offsets_mapping=True)
        tokens, offsets = batch["input_ids"], batch["offset_mapping"]
        merged = candidates == ["t", "s"]
        longest = 2 if merged else max(map(len, candidates))
        shared = tokens[: len(tokens) - merged]
        cut = max(0, len(shared) - (max_length - longest))
        assert list(found.prompt) == shared[cut:]
        assert found.length == len(found.prompt) + longest <= max_length
        first = offsets[cut][0]
        starts = [0]
        for shown in drawn(example, [text_of(e) for e in pool], count, 0):
            starts.append(starts[-1] + len(shown) + 2)
        assert number == sum(start >= first for start in starts[:-1])


def test_demonstrations_that_cannot_be_reached_do_not_change_a_context(monkeypatch):
    task, loaded = tasks.load("record"), nano("nano-opt")
    pool, examples = examples_of("record", 30), examples_of("record", 4, "test")
    found = encode_after(pool, examples, 20, 0, task, loaded)
    monkeypatch.setattr(demonstrations, "_reachable", lambda shown, lengths, most: shown)
    assert encode_after(pool, examples, 20, 0, task, loaded) == found


ICL = {"method": "zero-shot", "model": "nano-opt", "task": "sst2", "demonstrations": 4}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "mezo", "lr": 1, "steps": 1}, "demonstrations=4: mezo trains without them; use --method"),
        ({"model": "nano-roberta"}, "demonstrations need a causal model: nano-roberta is a masked LM"),
        ({"demonstrations": -1}, "demonstrations must not be negative: -1"),
        ({"demonstrations": 2.5}, "demonstrations must be int, not 2.5"),
        ({"train_rows": 3}, "demonstrations=4 needs as many training rows: train_rows=3"),
        ({"long_above": 30}, "long_above cannot be combined with demonstrations"),
        ({"head": "classification"}, "zero-shot with head=classification needs a trained head"),
    ],
)
def test_demonstrations_without_a_meaning_are_rejected(changes, message):
    with pytest.raises(UserError, match=message):
        from_dict(ICL | changes)


def test_more_demonstrations_than_rows_are_rejected():
    pool = examples_of("sst2", 3)
    with pytest.raises(UserError, match="demonstrations=4: task sst2 has only 3 training rows: use fewer"):
        encode_after(pool, pool, 4, 0, tasks.load("sst2"), nano("nano-opt"))


@pytest.mark.medium
def test_a_run_after_demonstrations_is_labelled_by_their_number_and_records_how_many_fit():
    sizes = {"train_rows": 40, "validation_rows": 8, "test_rows": 12}
    none, few, many = (from_dict(ICL | sizes | {"demonstrations": n}) for n in (0, 2, 32))
    assert [label(spec) for spec in (none, few, many)] == ["zero-shot", "ICL-2", "ICL-32"]
    assert none.id == from_dict({k: v for k, v in (ICL | sizes).items() if k != "demonstrations"}).id
    assert len({none.id, few.id, many.id}) == 3
    rows = [train.run(spec, train.load(spec, None), suite="test") for spec in (none, few, many)]
    assert [row["label"] for row in rows] == ["zero-shot", "ICL-2", "ICL-32"]
    assert [row["demonstrations_shown"] for row in rows[:2]] == [None, 2]
    assert 2 < rows[2]["demonstrations_shown"] < 32
    assert len({row["test"]["loss"] for row in rows}) == 3
    for row in rows:
        assert schema.parse(json.dumps(row), "here") == row
