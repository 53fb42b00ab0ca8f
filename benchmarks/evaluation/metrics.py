"""Metrics of generated answers: token F1 (SQuAD; Rajpurkar et al., arXiv 1606.05250) and exact match."""

import re
import string
from collections import Counter

from benchmarks.tasks._numbers import final_number

_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalize_answer(text: str) -> str:
    """Return the text in lower case, with single spaces, without ASCII punctuation and articles.

    >>> normalize_answer("The  Cat's whiskers!")
    'cats whiskers'
    """
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text.lower().translate(_PUNCTUATION)).split())


def token_f1(prediction: str, answers: list[str]) -> float:
    """Return the F1 score, in [0, 1], of the words shared with an answer; the best over all answers.

    >>> token_f1("the red apples", ["apples"])
    0.6666666666666666
    """
    return max(_f1(normalize_answer(prediction).split(), normalize_answer(a).split()) for a in answers)


def _f1(predicted: list[str], gold: list[str]) -> float:
    if not predicted or not gold:
        return float(predicted == gold)
    shared = (Counter(predicted) & Counter(gold)).total()
    return 2 * shared / (len(predicted) + len(gold))


def exact_match(prediction: str, answers: list[str]) -> float:
    """Return 1.0 if the prediction's final number is one of the answers, else 0.0.

    >>> exact_match("so it is #### 1,050", ["1050"])
    1.0
    """
    return float(final_number(prediction) in answers)


# Metrics that compare a generated answer with the correct ones, by name.
METRICS = {"f1": token_f1, "exact_match": exact_match}
