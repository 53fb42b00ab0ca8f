"""Tests of built-in rows: their form, lengths, and balance, and that the labels follow from the text."""

import json
import re
from collections import Counter

import numpy as np
import pytest

from benchmarks import registry, tasks
from benchmarks.data.example import Example
from benchmarks.evaluation.text_baselines import bag_of_words
from benchmarks.tasks import _language, _words
from tests.benchmarks.tasks.task_rows import (
    CANDIDATES,
    FIXTURES,
    KINDS,
    NINE,
    ORDERS,
    PLACES,
    generated,
    place,
    remarks,
    right_answer,
    selected,
    taken,
)

SELECTORS = "|".join(ORDERS)
GENERATED = sorted(name for name in registry.files("task") if tasks.load(name).generate)


@pytest.mark.parametrize("name", GENERATED)
def test_generated_rows_follow_the_contract(name):
    task = tasks.load(name)
    texts = set()
    for row in generated(name, 60):
        gold, candidates = task.gold(row), task.candidates(row)
        assert json.loads(json.dumps(row)) == row
        if task.generative:
            assert candidates == []
            assert gold
            assert all(isinstance(a, str) for a in gold)
        else:
            assert len(set(candidates)) == len(candidates) >= 2
            assert all(0 <= i < len(candidates) for i in ([gold] if isinstance(gold, int) else gold))
        assert 1 <= len(task.inputs(row)) <= 2
        texts.add(task.prompt(row) + right_answer(task, row))
    assert len(texts) > 50
    assert generated(name, 5) == generated(name, 5)
    assert generated(name, 5) != generated(name, 5, seed=1)


@pytest.mark.parametrize("name", sorted(FIXTURES))
def test_generated_rows_have_the_fields_of_real_ones(name):
    real = next(iter(tasks.load(name).from_hub(FIXTURES[name]["hub"][0])))
    assert {k: type(v) for k, v in generated(name, 1)[0].items()} == {k: type(v) for k, v in real.items()}


@pytest.mark.parametrize("name", NINE)
def test_lengths_have_the_distribution_of_the_real_task(name):
    task = tasks.load(name)
    sizes = [
        len(_language.tokens(task.prompt(row) + text))
        for row in generated(name, 1500)
        for text in (task.candidates(row) or [task.answer(row)])
    ]
    low, median, long, high = np.percentile(sizes, [0, 50, 95, 100])
    assert high <= 128
    if name in ("boolq", "multirc", "record", "squad"):
        assert 50 <= median <= 75
        assert long >= 1.5 * median
        assert high >= 105
    elif name == "sst2":
        assert low == 7
        assert median <= 20
        assert 30 <= high <= 42
    elif name in ("wsc", "wic"):
        assert low >= 20
        assert high <= 55
    else:
        assert 30 <= median <= 60


@pytest.mark.parametrize("name", sorted(CANDIDATES))
def test_labels_are_balanced(name):
    counts = Counter(row["label"] for row in generated(name, 3000))
    classes = len(CANDIDATES[name])
    assert set(counts) == set(range(classes))
    # The tolerance is five standard deviations of a fair draw.
    slack = 5 * (3000 * (1 / classes) * (1 - 1 / classes)) ** 0.5
    assert all(abs(c - 3000 / classes) < slack for c in counts.values())


@pytest.mark.parametrize("name", sorted(FIXTURES.keys() - {"gsm8k"}))
def test_a_bag_of_words_model_does_not_solve_a_task(name):
    examples = [Example(tasks.load(name), row) for row in generated(name, 2000, seed=5)]
    assert bag_of_words(examples[:1500], examples[1500:]) < 0.70


def test_first_and_last_remarks_usually_differ_and_questions_ask_for_both_equally_often():
    for name in ("boolq", "multirc", "rte"):
        rows = generated(name, 2000)
        kinds = [remarks(" ".join(v for v in row.values() if isinstance(v, str))) for row in rows]
        unlike = sum(KINDS[a] != KINDS[b] for a, b in kinds) / 2000
        assert unlike == pytest.approx(0.9, abs=0.04)
        places = Counter(place(tasks.load(name).prompt(row)) for row in rows)
        assert places[0] / 2000 == pytest.approx(0.5, abs=0.06)


def test_labels_of_stories_follow_from_the_text():
    """Labels equal those of the rules in `task_rows`, which share no code with the generators."""
    for row in generated("boolq", 300):
        assert re.fullmatch(rf"is it true that the ({SELECTORS}) impression was good", row["question"])
        assert row["label"] == (selected(row["passage"], row["question"]) == "praise")
    for row in generated("multirc", 300):
        assert re.fullmatch(rf"What was the ({SELECTORS}) impression\?", row["question"])
        assert row["answer"] in ("good", "great")
        assert row["label"] == (selected(row["paragraph"], row["question"]) == "praise")
    for row in generated("rte", 300):
        assert re.fullmatch(rf"the ({SELECTORS}) impression was good", row["hypothesis"])
        assert row["label"] == (selected(row["premise"], row["hypothesis"]) != "praise")
    for row in generated("cb", 300):
        assert re.fullmatch(rf"the ({SELECTORS}) impression was good", row["hypothesis"])
        kind = selected(row["premise"], row["hypothesis"])
        assert row["label"] == {"praise": 0, "blame": 1, "color": 2}[kind]
    for row in generated("copa", 300):
        choices = [row["choice1"], row["choice2"]]
        assert all(re.fullmatch(rf"The ({SELECTORS}) impression was good\.", choice) for choice in choices)
        assert row["question"] == "effect"
        (label,) = (i for i, choice in enumerate(choices) if selected(row["premise"], choice) == "praise")
        assert row["label"] == label
    for name, text in (("squad", "context"), ("drop", "passage")):
        for row in generated(name, 300):
            assert re.fullmatch(rf"What was it ({SELECTORS})\?", row["question"])
            assert row["answers"] == [taken(row[text])[place(row["question"])][1]]
    for row in generated("record", 300):
        names = [name for name, _ in taken(row["passage"])]
        assert re.fullmatch(rf"it was ({SELECTORS}) @placeholder", row["query"])
        assert row["answers"] == [names[place(row["query"])]]
        assert row["entities"] == sorted(names)


def test_labels_of_single_sentences_follow_from_the_text():
    for row in generated("wsc", 300):
        match = re.search(
            r"the first (man|woman) \w+ (\w+) and the last \1 \w+ (\w+) and everyone thanked (him|her)\.$",
            row["text"],
        )
        person, *words, pronoun = match.groups()
        assert row["span2"] == pronoun == {"man": "him", "woman": "her"}[person]
        assert re.fullmatch(rf"the ({SELECTORS}) {person}", row["span1"])
        assert row["label"] == (KINDS[words[place(row["span1"])]] == "praise")
    for row in generated("wic", 300):
        sentences = [row["sentence1"], row["sentence2"]]
        assert all(row["word"] in s.split() for s in sentences)
        ((one,), (two,)) = [[w for w in re.findall(r"\w+", s) if w in PLACES] for s in sentences]
        assert row["label"] == (PLACES[one] == PLACES[two])
    for row in generated("sst2", 300):
        first, *rest = [w for w in row["sentence"].split() if w in KINDS or w in ("but", "although")]
        decides = first
        if rest:
            link, last = rest
            assert KINDS[first] != KINDS[last]
            decides = last if link == "but" else first
        assert row["label"] == (KINDS[decides] == "praise")


def test_labels_of_the_other_tasks_follow_from_the_text():
    for row in generated("snli", 300) + generated("mnli", 300):
        kind = selected(row["premise"], row["hypothesis"])
        assert row["label"] == {"praise": 0, "color": 1, "blame": 2}[kind]
    for row in generated("qnli", 300):
        assert row["label"] == (selected(row["sentence"], row["question"]) == "color")
    for row in generated("trec", 300):
        words = re.findall(r"\bthe (?:first|last) \w+ (?:was|seemed|felt|looked) (\w+)\.", row["text"])
        word = words[place(row["text"])]
        classes = [
            word in _words.PRAISE,
            word in _words.THINGS,
            word in _words.TITLES,
            word in _words.NAMES,
            word in PLACES,
            word in ("morning", "noon", "evening", "night", "year"),
        ]
        assert len(words) == 2
        assert classes.count(True) == 1
        assert row["label"] == classes.index(True)
    for row in generated("sst5", 300):
        clauses = re.findall(
            r"the \w+ \w+ (?:(very|truly|quite|rather) )?(\w+)(?= (?:but|although|\.))", row["sentence"]
        )
        degree, word = clauses[-1 if " but " in row["sentence"] else 0]
        strong = degree in ("very", "truly")
        wanted = {"blame": 1 - strong, "color": 2, "praise": 3 + strong}[KINDS[word]]
        assert row["label"] == wanted
    clause = rf"the ({'|'.join(_words.ASPECTS)}) (was|seemed|felt|looked) (({'|'.join(_words.DEGREES)}) )?\w+"
    for row in generated("cola", 300):
        whole = re.fullmatch(rf"{clause}( (and|but|although) {clause})?\.", row["sentence"])
        assert row["label"] == (whole is not None)
    for row in generated("mrpc", 300):
        words = [re.findall(r"\w+", row[key]) for key in ("sentence1", "sentence2")]
        ((one,), (two,)) = [[w for w in each if w in KINDS] for each in words]
        assert words[0][1] == words[1][1]
        assert row["label"] == (KINDS[one] == KINDS[two])


def test_answers_of_word_problems_follow_from_the_text():
    kinds = Counter()
    for row in generated("gsm8k", 300):
        have, gain, lose, twice = (
            re.findall(pattern, row["question"])
            for pattern in (r"had (\d+)", r"found (\d+)", r"lost (\d+)", "as many")
        )
        left = (int(have[0]) + sum(map(int, gain)) - sum(map(int, lose))) * 2 ** len(twice)
        assert left > 0
        assert tasks.load("gsm8k").gold(row) == [str(left)]
        for a, sign, b, c in re.findall(r"(\d+) ([-+*]) (\d+) = (\d+)\.", row["answer"]):
            assert {"+": int(a) + int(b), "-": int(a) - int(b), "*": int(a) * int(b)}[sign] == int(c)
        kinds[len(gain), len(lose), len(twice)] += 1
    assert set(kinds) == {(1, 0, 0), (1, 0, 1), (0, 1, 0), (0, 1, 1)}
