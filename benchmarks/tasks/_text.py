"""Comparing a generated answer with the gold ones, as SQuAD does (Rajpurkar et al., arXiv 1606.05250)."""

import re
import string
from collections import Counter

_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalize_answer(text: str) -> str:
    """Lower case, no ASCII punctuation, no articles, single blanks.

    >>> normalize_answer("The  Cat's whiskers!")
    'cats whiskers'
    """
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(prediction: str, answers: list[str]) -> float:
    """1.0 where the normalised prediction equals one of the normalised answers, else 0.0."""
    return float(normalize_answer(prediction) in map(normalize_answer, answers))


def token_f1(prediction: str, answers: list[str]) -> float:
    """Best F1 over the answers of the words shared with the prediction, in [0, 1].

    >>> token_f1("the red apples", ["apples"])
    0.6666666666666666
    """
    return max(_f1(normalize_answer(prediction).split(), normalize_answer(a).split()) for a in answers)


def _f1(predicted: list[str], gold: list[str]) -> float:
    if not predicted or not gold:
        return float(predicted == gold)
    shared = (Counter(predicted) & Counter(gold)).total()
    return 2 * shared / (len(predicted) + len(gold))
