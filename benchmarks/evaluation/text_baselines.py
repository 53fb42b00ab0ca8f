"""Scores without a language model: the majority answer, and logistic regression on a bag of words.

They tell how much of a task's score needs more than the distribution of the answers, or more than the set of
words in the prompt.
"""

from collections import Counter
from collections.abc import Sequence
from statistics import mean

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from benchmarks.data.example import Example
from benchmarks.evaluation.metrics import METRICS

# The inverse strength of the L2 penalty.
INVERSE_PENALTY = 0.1


def majority(train: Sequence[Example], test: Sequence[Example]) -> float:
    """Return the test score of the most frequent training answer, in [0, 1].

    If each row has its own candidates, no answer is frequent, and the score is that of a random candidate.
    """
    task = train[0].task
    if task.generative:
        answer = _most_common([example.gold[0] for example in train])
        return mean(METRICS[task.metric](answer, example.gold) for example in test)
    if task.loss == "classification":
        label = _most_common([example.gold for example in train])
        return mean(float(example.gold == label) for example in test)
    return mean(len(_golds(example)) / len(example.candidates) for example in test)


def bag_of_words(train: Sequence[Example], test: Sequence[Example]) -> float:
    """Return the test score of logistic regression on the word counts of the prompts, in [0, 1].

    A classification task has one class per candidate. For other tasks, the regression decides whether an
    answer is correct, given the counts of the prompt and the answer together, and the most probable answer
    counts. The possible answers to a generative task are the training answers that the prompt contains.
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
        golds = _golds(example)
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


def _golds(example: Example) -> list[int]:
    return [example.gold] if isinstance(example.gold, int) else list(example.gold)


def _most_common(answers: Sequence) -> object:
    """Return the most frequent answer; on a tie, the smallest."""
    counts = Counter(answers)
    return min(counts, key=lambda answer: (-counts[answer], answer))
