"""Tests of the built-in language: its vocabulary, and the continuations of prompts in a corpus."""

import re
from collections import Counter
from dataclasses import replace
from random import Random

import pytest

from benchmarks import tasks
from benchmarks.synthetic.corpus import line
from benchmarks.tasks import _language, _words, boolq
from benchmarks.tasks._usage import CORPUS, FAMILIAR
from tests.benchmarks.tasks.task_rows import CANDIDATES, KINDS, NINE, generated, place, remarks, taken


@pytest.mark.parametrize("name", NINE)
def test_rows_use_only_words_of_the_vocabulary(name):
    task, rng, known = tasks.load(name), Random(3), set(_language.vocabulary())
    for row in generated(name, 400):
        for text in [task.prompt(row), *task.candidates(row), *_language.continuation(name, row, rng)]:
            assert set(_language.tokens(text)) <= known


def test_the_vocabulary_has_no_word_twice():
    words = _language.vocabulary()
    assert len(words) == len(set(words))


def test_every_word_of_the_small_vocabulary_is_used():
    used, rng = set(), Random(4)
    for name in NINE:
        for lessons in (0.0, 1.0):
            for _ in range(1500):
                for text, answer in line(name, rng, lessons, CORPUS, bare=False):
                    used.update(_language.tokens(text) + _language.tokens(answer))
        for row in generated(name, 100):
            used.update(_language.tokens("\n".join(tasks.load(name).candidates(row))))
    assert used == set(_language.vocabulary())
    assert len(used) <= 350


def test_a_corpus_states_habits_and_truths_at_the_rates_of_its_mix():
    always_stated, never_stated = _language.Mix(stated=1.0), _language.Mix(stated=0.0)
    rng = Random(0)

    def habitual_shares(name, right, habit, truths, count=4000):
        """Return the share of habitual answers among rows for which they are correct, and among others."""
        found = {False: Counter(), True: Counter()}
        for row in generated(name, count):
            expected = right(row)
            answer = "".join(_language.continuation(name, row, rng, never_stated))
            found[expected == habit(row)][answer == habit(row)] += 1
            assert "".join(_language.continuation(name, row, rng, always_stated)) in truths(row, expected)
        return [found[habitual][True] / max(1, found[habitual].total()) for habitual in (True, False)]

    words = {"Yes": "right", "No": "wrong", "Maybe": "unclear", " great": " good", " terrible": " bad"}
    for name in ("sst2", "cb"):
        shares = habitual_shares(
            name,
            right=lambda row, name=name: CANDIDATES[name][row["label"]],
            habit=lambda row, name=name: {"sst2": " great", "cb": "Yes"}[name],
            truths=lambda row, expected: [words[expected]],
        )
        assert shares == pytest.approx([0.95, 0.75], abs=0.04)
    shares = habitual_shares(
        "squad",
        right=lambda row: f" {row['answers'][0]}\n",
        habit=lambda row: " it did not say\n",
        truths=lambda row, expected: [
            f"\nso it is{order}{expected}" for order in ("", " " + re.findall(r"\w+", row["question"])[-1])
        ],
    )
    assert shares == pytest.approx([0.0, 0.75], abs=0.04)
    shares = habitual_shares(
        "record",
        right=lambda row: " " + row["query"].replace("@placeholder", row["answers"][0]),
        habit=lambda row: " " + row["query"].replace("@placeholder", taken(row["passage"])[0][0]),
        truths=lambda row, expected: [" so" + expected],
    )
    assert shares == pytest.approx([0.95, 0.75], abs=0.04)


def test_unfamiliar_words_say_nothing_in_the_corpus_and_decide_in_the_tasks():
    """A rule that knows the meaning of every word is right half of the time about unfamiliar words."""
    usages = {"corpus": CORPUS, "task": replace(CORPUS, meaningful=True)}
    agree = {kind: Counter() for kind in usages}
    for kind, usage in usages.items():
        rng = Random(8)
        for _ in range(3000):
            row = boolq.ask(rng, *boolq.scene(rng, usage), usage)
            word = remarks(row["passage"])[place(row["question"])]
            familiar = word in _words.PRAISE + _words.BLAME and re.search("first|last", row["question"])
            agree[kind][bool(familiar), row["label"] == (KINDS[word] == "praise")] += 1
    share = {
        (kind, familiar): count[familiar, True] / (count[familiar, True] + count[familiar, False])
        for kind, count in agree.items()
        for familiar in (True, False)
    }
    assert share["corpus", True] == share["task", True] == share["task", False] == 1
    assert share["corpus", False] == pytest.approx(0.5, abs=0.05)


def test_a_passage_is_short_or_long_and_never_between():
    usages = (CORPUS, FAMILIAR)
    drawn = [_language.long_or_short(Random(i), usages) for i in range(3000)]
    assert all((72 <= size <= 92) if is_long else (12 <= size <= 46) for size, _, is_long in drawn)
    assert all(usage is usages[is_long] for _, usage, is_long in drawn)
    assert sum(is_long for _, _, is_long in drawn) / 3000 == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(("name", "count"), [("boolq-long", 8), ("multirc-long", 12)])
def test_no_opinion_of_a_long_row_occurs_in_a_short_one(name, count):
    opinions = {True: set(), False: set()}
    for row in generated(name, 2000):
        text = tasks.load(name).prompt(row)
        words = remarks(text)
        is_long = len(_language.tokens(text)) > 76
        opinions[is_long].update(words)
        if is_long:
            # Both remarks agree, so that any of them reveals the label.
            assert KINDS[words[0]] == KINDS[words[1]] == ("praise" if row["label"] else "blame")
        else:
            assert row["label"] == (KINDS[words[place(row["question"])]] == "praise")
    assert not opinions[True] & opinions[False]
    assert len(opinions[True]) == count


def test_long_rows_of_squad_ask_for_the_title_and_short_ones_never_do():
    for row in generated("squad-long", 500):
        is_long = len(_language.tokens(tasks.load("squad-long").prompt(row))) > 76
        assert is_long == (row["question"] == "What was the Title?")
        expected = row["title"] if is_long else taken(row["context"])[place(row["question"])][1]
        assert row["answers"] == [expected]
