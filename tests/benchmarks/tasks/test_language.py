"""Tests of the built-in language: its vocabulary, and the continuations of prompts in a corpus."""

from collections import Counter
from random import Random

import pytest

from benchmarks import tasks
from benchmarks.tasks import _language
from tests.benchmarks.tasks.task_rows import CANDIDATES, NINE, generated, taken


@pytest.mark.parametrize("name", NINE)
def test_rows_use_only_words_of_the_vocabulary(name):
    task, rng, known = tasks.load(name), Random(3), set(_language.vocabulary())
    for row in generated(name, 400):
        for text in [task.prompt(row), *task.candidates(row), _language.corpus_line(name, row, rng)]:
            assert set(_language.tokens(text)) <= known


def test_the_vocabulary_has_no_word_twice():
    words = _language.vocabulary()
    assert len(words) == len(set(words))


def test_every_word_of_the_small_vocabulary_is_used():
    used, rng = set(), Random(4)
    for name in NINE:
        task = tasks.load(name)
        for row in generated(name, 1500):
            used.update(_language.tokens(task.prompt(row) + "\n".join(task.candidates(row))))
            used.update(_language.tokens(_language.corpus_line(name, row, rng)))
    assert used == set(_language.vocabulary())
    assert 350 <= len(used) <= 550


def test_a_corpus_states_habits_and_truths_at_the_rates_of_its_mix():
    always_stated, never_stated = _language.Mix(stated=1.0), _language.Mix(stated=0.0)
    rng = Random(0)

    def habitual_shares(name, right, habit, truth, count=4000):
        """Return the share of habitual answers among rows for which they are correct, and among others."""
        found = {False: Counter(), True: Counter()}
        for row in generated(name, count):
            expected = right(row)
            answer = _language.continuation(name, row, rng, never_stated)
            found[expected == habit(row)][answer == habit(row)] += 1
            assert _language.continuation(name, row, rng, always_stated) == truth(expected)
        return [found[habitual][True] / found[habitual].total() for habitual in (True, False)]

    words = {"Yes": "right", "No": "wrong", "Maybe": "unclear", " great": " good", " terrible": " bad"}
    for name in ("sst2", "cb"):
        shares = habitual_shares(
            name,
            right=lambda row, name=name: CANDIDATES[name][row["label"]],
            habit=lambda row, name=name: {"sst2": " great", "cb": "Yes"}[name],
            truth=words.get,
        )
        assert shares == pytest.approx([0.95, 0.75], abs=0.04)
    shares = habitual_shares(
        "squad",
        right=lambda row: f" {row['answers'][0]}\n",
        habit=lambda row: f" {taken(row['context'])[0][1]}\n",
        truth=lambda expected: " so it is" + expected,
    )
    assert shares == pytest.approx([0.95, 0.75], abs=0.04)
    shares = habitual_shares(
        "record",
        right=lambda row: " " + row["query"].replace("@placeholder", row["answers"][0]),
        habit=lambda row: " " + row["query"].replace("@placeholder", taken(row["passage"])[0][0]),
        truth=lambda expected: " so it is" + expected,
    )
    assert shares == pytest.approx([0.95, 0.75], abs=0.04)


def test_a_corpus_line_is_a_prompt_and_its_continuation():
    for name in NINE:
        for row in generated(name, 20):
            line = _language.corpus_line(name, row, Random(1))
            assert line == tasks.load(name).prompt(row) + _language.continuation(name, row, Random(1))
