"""Tests of the metrics of all answers together, against scikit-learn."""

import warnings
from random import Random

import pytest
import torch
from sklearn.metrics import f1_score, matthews_corrcoef

from benchmarks.data.tokenize import Encoded
from benchmarks.evaluation import evaluate
from benchmarks.evaluation.class_metrics import CLASS_METRICS, Answer
from benchmarks.tasks import OF_ALL_ANSWERS
from tests.benchmarks.evaluation.test_evaluate import fake

# All correct, all wrong, no positive, no positive found, a missing class, one example.
DEGENERATE = [
    ([1, 1], [1, 1], 2),
    ([0, 0], [0, 0], 2),
    ([0, 1], [1, 0], 2),
    ([0, 0], [1, 0], 2),
    ([1, 0], [0, 0], 2),
    ([1, 1, 1], [1, 0, 1], 2),
    ([0, 0, 0], [0, 0, 0], 3),
    ([2, 2], [0, 1], 3),
    ([1, 1, 2], [1, 1, 2], 3),
    ([1], [1], 2),
    ([3], [0], 4),
]


def drawn():
    """Return random answers, of which some have few examples or a rare class."""
    rng = Random(0)
    for classes in (2, 3, 6):
        for n in (1, 2, 5, 300):
            weights = [rng.random() ** 3 for _ in range(classes)]
            gold, chosen = (rng.choices(range(classes), weights, k=n) for _ in range(2))
            yield gold, [g if rng.random() < 0.4 else c for g, c in zip(gold, chosen, strict=True)], classes


def reference(name, gold, chosen, classes):
    with warnings.catch_warnings():
        # It warns of a metric that is not defined, and returns 0.
        warnings.simplefilter("ignore")
        if name == "matthews":
            return matthews_corrcoef(gold, chosen)
        return f1_score(gold, chosen, average="binary" if classes == 2 else "macro", zero_division=0)


def test_every_metric_of_all_answers_has_a_function():
    assert set(CLASS_METRICS) == set(OF_ALL_ANSWERS)


@pytest.mark.parametrize("name", CLASS_METRICS)
def test_a_metric_equals_that_of_scikit_learn_also_where_it_is_not_defined(name):
    cases = [*DEGENERATE, *drawn()]
    for gold, chosen, classes in cases:
        answers = [Answer(g, c, classes) for g, c in zip(gold, chosen, strict=True)]
        expected = reference(name, gold, chosen, classes)
        assert CLASS_METRICS[name](answers) == pytest.approx(expected, abs=1e-12), (gold, chosen)
    assert len(cases) == len(DEGENERATE) + 12


@pytest.mark.parametrize("name", CLASS_METRICS)
@pytest.mark.parametrize("classes", [2, 3])
def test_a_score_is_that_of_all_answers_and_not_a_mean_over_batches_or_lengths(name, classes):
    generator = torch.Generator().manual_seed(3)
    scores = torch.randn(23, classes, generator=generator)
    gold = torch.randint(classes, (23,), generator=generator).tolist()
    scorer = fake({"metric": name}, scores.tolist())
    examples = [Encoded((i,), ((1,),) * classes, (), g, 100 - i) for i, g in enumerate(gold)]
    chosen = scores.argmax(1).tolist()
    expected = reference(name, gold, chosen, classes)
    for size in (1, 4, 23):
        found, results = evaluate.evaluate_each(scorer, examples, size)
        assert found.score == pytest.approx(expected, abs=1e-12)
    long, short = evaluate.scores_by_length(examples, results, name, 92)
    assert (long.n, short.n) == (8, 15)
    assert long.score == pytest.approx(reference(name, gold[:8], chosen[:8], classes), abs=1e-12)
    assert short.score == pytest.approx(reference(name, gold[8:], chosen[8:], classes), abs=1e-12)
