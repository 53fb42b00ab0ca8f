"""Tests of evaluation: metrics, loss, AUC, and greedy generation."""

import dataclasses
import math
from random import Random
from types import SimpleNamespace

import pytest
import torch

from benchmarks import tasks
from benchmarks.data.tokenize import Encoded
from benchmarks.evaluation import evaluate
from benchmarks.evaluation.scoring import Scorer
from tests.benchmarks.evaluation.naive_scores import CAUSAL, encode, log_probs, nano, rows_of


@pytest.mark.parametrize("name", CAUSAL)
def test_generation_equals_a_naive_argmax_loop(name):
    task = dataclasses.replace(tasks.load("squad"), max_new_tokens=6)
    loaded = nano(name)
    rows = rows_of(task)
    got = evaluate.generate(Scorer(loaded, task), encode(rows, task, loaded, "lm"))
    stops = {loaded.tokenizer.convert_tokens_to_ids("\n"), loaded.tokenizer.eos_token_id}
    for row, text in zip(rows, got, strict=True):
        tokens = loaded.tokenizer(task.prompt(row))["input_ids"]
        new = []
        while len(new) < 6 and not stops & set(new):
            new.append(int(log_probs(loaded, tokens + new)[-1].argmax()))
        decoded = loaded.tokenizer.decode(new, skip_special_tokens=True)
        assert text == decoded.split("\n")[0]


def test_generation_stops_at_a_newline_and_at_its_limit():
    """A hook forces the model to follow a chain of words, so its weights do not matter."""
    task = dataclasses.replace(tasks.load("squad"), max_new_tokens=5)
    loaded = nano("nano-opt")
    vocabulary = loaded.tokenizer.get_vocab()
    a, b, c = sorted(word for word in vocabulary if word.isalpha())[:3]
    rows = rows_of(task, 3)
    batch = encode(rows, task, loaded, "lm")
    scorer = Scorer(loaded, task)
    colon = loaded.tokenizer.convert_ids_to_tokens(batch[0].prompt[-1])
    for chain, expected in (([colon, a, b, "\n", c], f"{a} {b}"), ([colon, a], " ".join([a] * 5))):
        following = {
            vocabulary[x]: vocabulary[y] for x, y in zip(chain, [*chain[1:], chain[-1]], strict=True)
        }

        def force(module, args, kwargs, output, following=following):
            for row, token in enumerate(kwargs["input_ids"][:, -1].tolist()):
                output.logits[row, -1, following[token]] += 1e4

        handle = loaded.model.register_forward_hook(force, with_kwargs=True)
        try:
            texts = evaluate.generate(scorer, batch)
        finally:
            handle.remove()
        assert [text.strip() for text in texts] == [expected] * 3


def fake(task, scores):
    """Build a scorer that returns the i-th scores for the i-th example."""
    model = torch.nn.Linear(1, 1)
    return SimpleNamespace(
        model=model,
        task=SimpleNamespace(
            **({"loss": "classification", "generative": False, "metric": "accuracy"} | task)
        ),
        candidate_scores=lambda batch: [torch.tensor(scores[e.prompt[0]]) for e in batch],
        # Each example's loss is the size of its batch.
        answer_scores=lambda batch: torch.full((len(batch),), -float(len(batch))),
    )


def labeled(golds):
    # Lengths decrease, so that evaluation reorders the examples.
    return [Encoded((i,), ((1,), (2,)), (), g, 100 - i) for i, g in enumerate(golds)]


def test_any_of_several_correct_answers_counts_and_the_loss_takes_the_best():
    scores = [[-1.0, -2.0, -3.0], [-1.0, -2.0, -3.0], [-5.0, -1.0, -1.5]]
    golds = [[0, 2], [1, 2], [2, 1]]
    found = evaluate.evaluate(fake({"loss": "teacher_forcing"}, scores), labeled(golds), 2)
    assert found.score == pytest.approx(2 / 3)
    assert found.loss == pytest.approx((1 + 2 + 1) / 3)
    assert (found.auc, found.n) == (None, 3)


def test_auc_is_the_fraction_of_ordered_pairs():
    rng = Random(0)
    golds = [int(rng.random() < 0.4) for _ in range(30)]
    # Rounding creates ties, which count one half.
    scores = [[0.0, round(rng.gauss(g, 1), 1)] for g in golds]
    found = evaluate.evaluate(fake({}, scores), labeled(golds), 7)
    margins = [s[1] for s in scores]
    both = list(zip(margins, golds, strict=True))
    pairs = [(a, b) for a, g in both if g == 1 for b, h in both if h == 0]
    assert found.auc == pytest.approx(sum((a > b) + (a == b) / 2 for a, b in pairs) / len(pairs))
    assert found.score == pytest.approx(sum((m > 0) == g for m, g in both) / 30)
    losses = [math.log(1 + math.exp(m if g == 0 else -m)) for m, g in both]
    assert found.loss == pytest.approx(sum(losses) / 30, abs=1e-6)


@pytest.mark.parametrize(
    ("golds", "scores"),
    [
        ([1, 1], [[0.0, 1.0], [0.0, 2.0]]),
        ([0, 1], [[0.0, 1.0, 2.0], [0.0, 2.0, 1.0]]),
        ([0, 1], [[0.0, 1.0], [0.0, 1.0, 2.0]]),
        ([0, 1], [[0.0, float("nan")], [0.0, 1.0]]),
    ],
)
def test_auc_is_none_if_it_is_undefined(golds, scores):
    assert evaluate.evaluate(fake({}, scores), labeled(golds), 4).auc is None


def test_token_f1_is_the_best_over_the_answers(monkeypatch):
    texts = {0: "The red box", 1: "nothing like it", 2: "Anna"}
    monkeypatch.setattr(evaluate, "generate", lambda scorer, batch: [texts[e.prompt[0]] for e in batch])
    golds = [["blue thing", "red box of wood"], ["cup"], ["anna", "a"]]
    found = evaluate.evaluate(fake({"generative": True, "metric": "f1"}, []), labeled(golds), 2)
    assert found.score == pytest.approx((2 * 2 / (2 + 4) + 0 + 1) / 3)
    # The batches have 2 and 1 examples, and mean losses of 2 and 1.
    assert found.loss == pytest.approx((2 * 2 + 1) / 3)


def test_exact_match_is_the_fraction_of_correct_final_numbers(monkeypatch):
    texts = {0: "2 + 1 = 3. #### 3.0", 1: "it is 1,200 #### $1,200.", 2: "#### 5", 3: "so it is 6"}
    monkeypatch.setattr(evaluate, "generate", lambda scorer, batch: [texts[e.prompt[0]] for e in batch])
    golds = [["3"], ["1200"], ["50"], ["6"]]
    found = evaluate.evaluate(fake({"generative": True, "metric": "exact_match"}, []), labeled(golds), 2)
    assert found.score == 0.5


@pytest.mark.parametrize("name", ["cb", "sst2", "squad"])
def test_the_scores_by_length_are_those_of_each_part_scored_alone(name):
    task = dataclasses.replace(tasks.load(name), max_new_tokens=4)
    loaded = nano("nano-opt")
    examples = encode(rows_of(task, 12), task, loaded, "lm")
    scorer = Scorer(loaded, task)
    tokens = sorted(e.length for e in examples)[7]
    score, results = evaluate.evaluate_each(scorer, examples, 5)
    assert score == evaluate.evaluate(scorer, examples, 5)
    parts = evaluate.scores_by_length(examples, results, task.metric, tokens)
    for found, long in zip(parts, (True, False), strict=True):
        members = [e for e in examples if (e.length > tokens) == long]
        alone = [evaluate.evaluate(scorer, [e], 1) for e in members]
        assert found.n == len(members) > 0
        assert found.score == pytest.approx(sum(s.score for s in alone) / len(alone))
        assert found.loss == pytest.approx(sum(s.loss for s in alone) / len(alone), abs=1e-5)
        assert found.auc == evaluate.evaluate(scorer, members, 5).auc
    longest = max(e.length for e in examples)
    whole = evaluate.scores_by_length(examples, results, task.metric, longest)
    assert whole[0] is None
    assert (whole[1].score, whole[1].n) == (pytest.approx(score.score), 12)
    assert evaluate.scores_by_length(examples, results, task.metric, None) == (None, None)


def test_long_batches_come_first_and_results_keep_their_order():
    """An evaluation that runs out of memory does so at its start."""
    scorer, lengths = fake({}, [[float(-i), 0.0] for i in range(7)]), []
    scores = scorer.candidate_scores
    scorer.candidate_scores = lambda batch: lengths.append([e.length for e in batch]) or scores(batch)
    examples = labeled([0] * 7)
    _, results = evaluate.evaluate_each(scorer, examples, 3)
    assert lengths == [[100], [97, 98, 99], [94, 95, 96]]
    assert [r.margin for r in results] == [(0, float(i)) for i in range(7)]


class OnDevice(torch.Tensor):
    """A tensor whose values can be read only after a copy to the host, which is counted."""

    copies = 0

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        if func is torch.Tensor.cpu:
            cls.copies += 1
            return args[0].as_subclass(torch.Tensor)
        reads = (torch.Tensor.item, torch.Tensor.tolist, torch.Tensor.__float__, torch.Tensor.__int__)
        assert func not in reads, "a value was read from the device"
        return super().__torch_function__(func, types, args, kwargs)


def test_a_batch_is_copied_to_the_host_once(monkeypatch):
    scores = [[0.0, 1.0], [2.0, 1.0, 3.0], [0.0, -1.0], [1.0, 2.0]]
    scorer = fake({}, scores)
    on_host = scorer.candidate_scores
    scorer.candidate_scores = lambda batch: [s.as_subclass(OnDevice) for s in on_host(batch)]
    monkeypatch.setattr(OnDevice, "copies", 0)
    found, _ = evaluate.evaluate_each(scorer, labeled([1, 2, 0, 0]), 2)
    assert (found.score, OnDevice.copies) == (3 / 4, 2)
    monkeypatch.setattr(OnDevice, "copies", 0)
    monkeypatch.setattr(evaluate, "generate", lambda scorer, batch: ["Anna"] * len(batch))
    scorer = fake({"generative": True, "metric": "f1"}, [])
    losses = scorer.answer_scores
    scorer.answer_scores = lambda batch: losses(batch).as_subclass(OnDevice)
    assert evaluate.evaluate(scorer, labeled([["Anna"]] * 4), 2).loss == 2
    assert OnDevice.copies == 2


def test_evaluation_does_not_depend_on_batches_and_restores_the_mode():
    task = tasks.load("cb")
    loaded = nano("nano-opt")
    examples = encode(rows_of(task, 11), task, loaded, "lm")
    scorer = Scorer(loaded, task)
    alone, together = (evaluate.evaluate(scorer, examples, size) for size in (1, 8))
    assert alone.score == together.score
    assert alone.loss == pytest.approx(together.loss, abs=1e-10)
    assert loaded.model.training
    loaded.model.eval()
    evaluate.evaluate(scorer, examples[:2], 2)
    assert not loaded.model.training
    loaded.model.train()
