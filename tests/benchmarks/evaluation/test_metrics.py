"""Tests of the metrics of generated answers: token F1, and exact match of numbers."""

import pytest

from benchmarks import tasks
from benchmarks.evaluation import metrics


@pytest.mark.parametrize(
    ("prediction", "answers", "f1"),
    [
        ("The cat's hat.", ["cats hat"], 1.0),
        ("a red hat", ["red hat", "blue"], 1.0),
        ("red hat today", ["hat", "red shoe"], 0.5),
        ("hat hat", ["hat"], 2 / 3),
        ("", ["hat"], 0.0),
    ],
)
def test_token_f1_is_the_best_over_the_answers(prediction, answers, f1):
    assert metrics.token_f1(prediction, answers) == pytest.approx(f1)


@pytest.mark.parametrize(
    ("prediction", "answer", "right"),
    [
        ("12 / 4 = 3. #### 3", "3", True),
        ("#### 3.0", "3", True),
        ("#### $1,234.50.", "1234.5", True),
        ("####-7 apples", "-7", True),
        ("#### -$7", "-7", True),
        ("#### 0.5", "5", False),
        ("#### -7", "7", False),
        ("#### 30", "3", False),
        ("#### 3 and then #### 4", "3", True),
        # Only a number directly after the mark counts.
        ("It is 3.", "3", False),
        ("3 #### so it is 3", "3", False),
        ("####", "3", False),
        ("", "3", False),
    ],
)
def test_exact_match_compares_the_number_after_the_mark_in_any_format(prediction, answer, right):
    gold = tasks.load("gsm8k").gold({"answer": f"so #### {answer}"})
    assert metrics.exact_match(prediction, gold) == right
