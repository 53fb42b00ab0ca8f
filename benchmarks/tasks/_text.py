"""Comparing a generated answer with the gold ones.

In words as SQuAD does (Rajpurkar et al., arXiv 1606.05250), in a number as GSM8K does (arXiv 2110.14168).
"""

import re
import string
from collections import Counter
from decimal import Decimal

# What stands before the number in which a solution ends.
FINAL = "####"

_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalize_answer(text: str) -> str:
    """Lower case, no ASCII punctuation, no articles, single blanks.

    >>> normalize_answer("The  Cat's whiskers!")
    'cats whiskers'
    """
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text.lower().translate(_PUNCTUATION)).split())


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


def final_number(text: str) -> str | None:
    """The number right after the first "####", in one spelling; None where there is none.

    >>> final_number("so 2 * 525 = 1,050. #### $1,050.0")
    '1050'
    """
    tail = text.partition(FINAL)[2].replace(",", "").replace("$", "")
    found = re.match(r"\s*([-+]?(?:\d+(?:\.\d+)?|\.\d+))", tail)
    if found is None:
        return None
    number = format(Decimal(found[1]), "f")
    number = number.rstrip("0").rstrip(".") if "." in number else number
    return "0" if number == "-0" else number


def same_number(prediction: str, answers: list[str]) -> float:
    """1.0 where the prediction's final number is one of the answers, else 0.0."""
    return float(final_number(prediction) in answers)
