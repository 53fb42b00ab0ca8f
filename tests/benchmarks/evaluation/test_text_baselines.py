"""Tests of the scores without a language model, on rows whose scores can be computed by hand."""

from dataclasses import replace

import pytest

from benchmarks import tasks
from benchmarks.data.example import Example
from benchmarks.evaluation.majority import majority
from benchmarks.evaluation.text_baselines import bag_of_words


def sst2(*pairs):
    task = tasks.load("sst2")
    return [Example(task, {"sentence": text, "label": label}) for text, label in pairs]


def squad(*pairs):
    task = tasks.load("squad")
    return [
        Example(task, {"title": "T", "context": context, "question": "What was it?", "answers": [answer]})
        for context, answer in pairs
    ]


def record(*names):
    task = tasks.load("record")
    row = {"passage": "a b", "query": "it was @placeholder"}
    return [Example(task, row | {"entities": list(entities), "answers": [entities[0]]}) for entities in names]


def test_the_majority_label_of_the_training_rows_is_scored_on_the_test_rows():
    train = sst2(("a", 1), ("b", 1), ("c", 0))
    assert majority(train, sst2(("d", 0), ("e", 0), ("f", 1), ("g", 0))) == 0.25


def test_a_tie_gives_the_smallest_label():
    assert majority(sst2(("a", 1), ("b", 0)), sst2(("c", 0), ("d", 0))) == 1.0


def test_the_majority_answer_of_a_generative_task_is_scored_with_its_metric():
    train = squad(("x", "red apples"), ("y", "red apples"), ("z", "pears"))
    # "red apples" shares one word of two with "apples", so its F1 is 2/3.
    assert majority(train, squad(("x", "apples"), ("y", "pears"))) == pytest.approx((2 / 3 + 0) / 2)


def test_without_common_candidates_a_random_one_counts():
    test = record(("Ann", "Bob"), ("Cy", "Dan", "Eve", "Flo"))
    assert majority(record(("Ann", "Bob")), test) == (1 / 2 + 1 / 4) / 2


def test_a_bag_of_words_learns_words_and_no_order():
    words = ["good", "bad"]
    single = sst2(*[(f"it seemed {words[1 - label]}", label) for label in (0, 1)] * 20)
    assert bag_of_words(single, single) == 1.0
    ordered = sst2(*[(f"{words[label]} then {words[1 - label]}", label) for label in (0, 1)] * 20)
    assert bag_of_words(ordered, ordered) == 0.5


def test_a_bag_of_words_chooses_among_the_training_answers_in_the_prompt():
    # Pears are right whenever they occur, and apples only alone.
    train = squad(*[("the apples and the pears", "pears"), ("the pears", "pears"), ("apples", "apples")] * 10)
    test = squad(
        ("pears, apples", "pears"), ("pears, apples", "apples"), ("apples", "apples"), ("x", "pears")
    )
    assert bag_of_words(train, test) == 0.5
    # None of the training answers is in the prompt.
    assert bag_of_words(train, squad(("plums", "plums"))) == 0.0


def test_a_bag_of_words_ranks_candidates_of_their_own():
    train = record(*[("Ann", "Bob"), ("Ann", "Cy"), ("Bob", "Cy")] * 20)
    assert bag_of_words(train, record(("Ann", "Cy"), ("Ann", "Bob"))) == 1.0
    assert bag_of_words(train, record(("Cy", "Ann"))) == 0.0


@pytest.mark.parametrize("score", [majority, bag_of_words])
def test_the_scores_are_those_of_the_test_rows_only(score):
    train = sst2(("fine", 1), ("dull", 0), ("fine", 1))
    test = sst2(("fine", 1), ("dull", 0))
    flipped = [replace(e, row=e.row | {"label": 1 - e.row["label"]}) for e in test]
    assert score(train, test) + score(train, flipped) == 1.0
