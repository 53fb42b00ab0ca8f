"""The majority score: the score of a constant answer, against which a model's score has to be read."""

from collections import Counter
from collections.abc import Sequence
from statistics import mean

from benchmarks.data.example import Example
from benchmarks.evaluation.class_metrics import CLASS_METRICS, Answer
from benchmarks.evaluation.metrics import METRICS


def majority(train: Sequence[Example], test: Sequence[Example], metric: str | None = None) -> float:
    """Return the test score of the most frequent training answer; on a tie, of the smallest.

    If each row has its own candidates, no answer is frequent, and the score is that of a random candidate.

    Args:
        train: the training rows; at least one.
        test: the rows to score; at least one.
        metric: name of the metric; None for the task's own.
    """
    task = train[0].task
    metric = metric or task.metric
    if task.generative:
        answer = _most_common([example.gold[0] for example in train])
        return mean(METRICS[metric](answer, example.gold) for example in test)
    if task.loss != "classification":
        return mean(len(golds_of(example)) / len(example.candidates) for example in test)
    label = _most_common([example.gold for example in train])
    if metric in CLASS_METRICS:
        return CLASS_METRICS[metric]([Answer(e.gold, label, len(e.candidates)) for e in test])
    return mean(float(example.gold == label) for example in test)


def golds_of(example: Example) -> list[int]:
    """Return the indices of the correct candidates of an example that has candidates."""
    return [example.gold] if isinstance(example.gold, int) else list(example.gold)


def _most_common(answers: Sequence) -> object:
    counts = Counter(answers)
    return min(counts, key=lambda answer: (-counts[answer], answer))
