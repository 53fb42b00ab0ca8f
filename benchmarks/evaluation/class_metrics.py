"""Metrics of chosen classes that are not means over examples: F1 and Matthews correlation.

A denominator of zero gives 0, as in scikit-learn.
"""

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple


class Answer(NamedTuple):
    """The class that a model chose for one example.

    Attributes:
        gold: index of the correct candidate.
        chosen: index of the chosen candidate.
        classes: number of candidates.
    """

    gold: int
    chosen: int
    classes: int


def class_f1(answers: Sequence[Answer]) -> float:
    """Return the F1 score of the second class if there are two, else the mean over classes, in [0, 1].

        F1 of class k = 2 n_kk / (g_k + c_k)

    n_kk counts the correct answers of class k, g_k its examples, and c_k how often it was chosen. GLUE
    reports the F1 score of one class for MRPC (arXiv 1804.07461), and SuperGLUE the mean for CB (arXiv
    1905.00537). The mean is over the classes that occur among the correct or the chosen ones.

    >>> class_f1([Answer(1, 1, 2), Answer(1, 0, 2), Answer(0, 0, 2)])
    0.6666666666666666
    """
    gold, chosen, correct = _counts(answers)
    binary = all(answer.classes == 2 for answer in answers)
    classes = [1] if binary else sorted(gold | chosen)
    scores = [2 * correct[k] / total if (total := gold[k] + chosen[k]) else 0.0 for k in classes]
    return math.fsum(scores) / len(scores)


def matthews(answers: Sequence[Answer]) -> float:
    """Return Matthews correlation between the correct and the chosen classes, in [-1, 1].

        MCC = (n c - sum_k g_k c_k) / sqrt((n^2 - sum_k g_k^2) (n^2 - sum_k c_k^2))

    c counts the correct answers, g_k the examples of class k, and c_k how often it was chosen (Gorodkin,
    Computational Biology and Chemistry 28, 2004). It is 0 if all examples, or all choices, have one class.

    >>> matthews([Answer(1, 0, 2), Answer(0, 1, 2)])
    -1.0
    """
    gold, chosen, correct = _counts(answers)
    n = len(answers)
    product = (n**2 - sum(g**2 for g in gold.values())) * (n**2 - sum(c**2 for c in chosen.values()))
    covariance = n * correct.total() - sum(gold[k] * chosen[k] for k in gold)
    return covariance / math.sqrt(product) if product else 0.0


def _counts(answers: Sequence[Answer]) -> tuple[Counter[int], Counter[int], Counter[int]]:
    """Return how often each class is correct, chosen, and both."""
    return (
        Counter(answer.gold for answer in answers),
        Counter(answer.chosen for answer in answers),
        Counter(answer.gold for answer in answers if answer.gold == answer.chosen),
    )


# Metrics of the answers to all examples, by name.
CLASS_METRICS = {"class_f1": class_f1, "matthews": matthews}
