"""A score without a language model: that of logistic regression on a bag of words.

It tells how much of a task's score needs more than the set of words in the prompt.
"""

from collections.abc import Sequence
from statistics import mean

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from benchmarks.data.example import Example
from benchmarks.evaluation.majority import golds_of
from benchmarks.evaluation.metrics import METRICS

# The inverse strength of the L2 penalty.
INVERSE_PENALTY = 0.1


def bag_of_words(train: Sequence[Example], test: Sequence[Example]) -> float:
    """Return the test score of logistic regression on the word counts of the prompts, in [0, 1].

    A classification task has one class per candidate, and its score is accuracy. For other tasks, the
    regression decides whether an answer is correct, given the counts of the prompt and the answer together,
    and the most probable answer counts. The possible answers to a generative task are the training answers
    that the prompt contains.
    """
    task = train[0].task
    words = CountVectorizer(tokenizer=words_of, token_pattern=None, lowercase=False)
    model = LogisticRegression(C=INVERSE_PENALTY, max_iter=2000)
    if task.loss == "classification":
        model.fit(words.fit_transform(e.prompt for e in train), [e.gold for e in train])
        predicted = model.predict(words.transform(e.prompt for e in test))
        return float(np.mean(predicted == [e.gold for e in test]))
    known = sorted({answer for e in train for answer in e.gold}) if task.generative else []
    texts, right = zip(*(pair for e in train for pair in _choices(e, known)), strict=True)
    model.fit(words.fit_transform(texts), [score == 1.0 for score in right])
    return mean(_best(e, known, words, model) for e in test)


def _best(example: Example, known: Sequence[str], words: CountVectorizer, model: LogisticRegression) -> float:
    """Return the score of the most probable answer; 0 if none of the known answers is in the prompt."""
    pairs = _choices(example, known)
    if not pairs:
        return 0.0
    texts, scores = zip(*pairs, strict=True)
    return float(scores[int(model.decision_function(words.transform(texts)).argmax())])


def _choices(example: Example, known: Sequence[str]) -> list[tuple[str, float]]:
    """Return (prompt with an answer, score of the answer) for every possible answer."""
    task = example.task
    if not task.generative:
        golds = golds_of(example)
        return [(example.prompt + text, float(i in golds)) for i, text in enumerate(example.candidates)]
    metric = METRICS[task.metric]
    present = set(words_of(example.prompt))
    return [
        (f"{example.prompt} {answer}", metric(answer, example.gold))
        for answer in known
        if present.issuperset(words_of(answer))
    ]


def words_of(text: str) -> list[str]:
    """Return the words of a text without punctuation."""
    return [word for part in text.split() if (word := part.strip('.,?:"'))]
