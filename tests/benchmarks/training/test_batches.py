"""Tests of training batches: the examples that each closure gets."""

import pytest
import torch

from benchmarks import registry
from benchmarks.data.tokenize import Encoded
from benchmarks.errors import UserError
from benchmarks.evaluation.passes import TrainingBatch
from benchmarks.evaluation.scoring import Scorer
from benchmarks.training.batches import token_counts
from tests.benchmarks.training.tiny_runs import FO, ROWS, STEPS, ZO, lengths_of, row_of, tiny

METHODS = tuple(registry.files("method"))


@pytest.fixture
def batches(monkeypatch):
    """Return a list that records every training loss: whether gradients are on, and prompts and lengths."""
    seen = []
    loss = Scorer.loss

    def watched(self, batch):
        seen.append((torch.is_grad_enabled(), [(e.prompt, e.length) for e in batch]))
        return loss(self, batch)

    monkeypatch.setattr(Scorer, "loss", watched)
    return seen


@pytest.mark.parametrize("threshold", ["q0.5", 12])
def test_long_examples_get_forward_passes_only_and_short_ones_gradients(batches, threshold):
    spec = tiny("addax", length_threshold=threshold, steps=6)
    row = row_of(spec)
    limit = row["length_threshold_tokens"]
    assert limit == 12 if threshold == 12 else row["d1_rows"] >= ROWS / 2
    assert row["d0_rows"] + row["d1_rows"] == ROWS
    assert row["d0_rows"] > 0
    for with_gradient, batch in batches:
        assert all((length <= limit) == with_gradient for _, length in batch)
        assert len(set(batch)) == (FO if with_gradient else ZO)
    assert sum(g for g, _ in batches) * 2 == sum(not g for g, _ in batches)


@pytest.mark.parametrize("method", ["adam", "mezo-svrg"])
def test_training_on_short_rows_draws_and_counts_short_rows_only(batches, method):
    row = row_of(tiny(method, long_above="q0.5", train_on="short"))
    limit = row["long_above_tokens"]
    lengths = lengths_of(tiny(method), "train")
    assert limit == sorted(lengths)[ROWS // 2 - 1]
    assert row["train_rows"] == sum(n <= limit for n in lengths) < ROWS
    assert {length <= limit for _, batch in batches for _, length in batch} == {True}
    if method == "mezo-svrg":
        # Every second step also evaluates the short rows twice, in chunks of up to eight.
        assert row["examples"] == STEPS * ZO - STEPS // 2 * ZO + STEPS // 2 * row["train_rows"]


def test_training_on_short_rows_needs_one(batches):
    with pytest.raises(UserError, match=r"task sst2: every training example is longer than long_above = 1 "):
        row_of(tiny("adam", long_above=1, train_on="short"))
    assert batches == []


@pytest.mark.parametrize(("method", "losses_per_step"), [("mezo", [2] * 4), ("mezo-svrg", [0, 4, 0, 4])])
def test_a_step_prepares_its_batch_once_for_all_its_losses(monkeypatch, method, losses_per_step):
    """Tensors of the whole training set are made chunk by chunk, at the anchor steps of MeZO-SVRG."""
    prepare, loss, prepared, losses = Scorer.prepare, Scorer.loss, [], []

    def watched_prepare(self, examples):
        prepared.append(prepare(self, examples))
        return prepared[-1]

    def watched_loss(self, batch):
        if isinstance(batch, TrainingBatch):
            losses.append(next(i for i, one in enumerate(prepared) if one is batch))
        return loss(self, batch)

    monkeypatch.setattr(Scorer, "prepare", watched_prepare)
    monkeypatch.setattr(Scorer, "loss", watched_loss)
    row_of(tiny(method))
    # Measuring memory takes further steps.
    counts = [losses.count(i) for i in sorted(set(losses))]
    expected = [n for n in losses_per_step if n]
    assert counts[: len(expected)] == expected
    assert set(counts) == set(expected)


@pytest.mark.medium
def test_batches_are_equal_for_all_methods(batches):
    drawn = {}
    for method in METHODS:
        batches.clear()
        row_of(tiny(method))
        zo = [b for gradient, b in batches if not gradient and len(b) == ZO]
        fo = [b for gradient, b in batches if gradient]
        drawn[method] = zo[: 2 * STEPS : 2], fo[:STEPS]
    zo, fo = drawn["addax"]
    assert drawn["mezo"][0] == zo
    for method in ("sgd", "ip-sgd", "adam"):
        assert drawn[method][1] == fo
    # Its steps 1 and 3 (counted from 0) are minibatch steps, with four losses each.
    assert drawn["mezo-svrg"][0][::2][:2] == zo[1::2]
    assert len({str(b) for b in zo}) == STEPS
    assert [sorted(b) for b in zo] != [sorted(b) for b in fo]


def test_an_empty_pool_is_rejected_before_training(batches):
    for changes, named in (
        ({"length_threshold": 150}, "zo_batch_size = 3"),
        ({"length_threshold": 1}, "fo_batch_size = 2"),
    ):
        with pytest.raises(UserError, match=named) as error:
            row_of(tiny("addax", **changes))
        assert "\n" not in str(error.value)
        assert "sst2" in str(error.value)
    assert batches == []


def test_a_threshold_for_an_amount_of_memory_is_resolved_by_the_caller():
    seen = []

    def choose(spec, rows, sizes):
        seen.append((spec.id, len(rows), sizes))
        return 12

    spec = tiny("addax", length_threshold="auto:1GB")
    row = row_of(spec, choose_length_threshold=choose)
    sizes = {"zo_batch_size": ZO, "fo_batch_size": FO, "eval_batch_size": 8}
    assert (row["length_threshold_tokens"], seen) == (12, [(spec.id, ROWS, sizes)])
    with pytest.raises(UserError, match="needs a memory predictor: set the threshold in tokens"):
        row_of(spec)


def test_token_counts_are_the_lengths_of_prompts_candidates_and_answers():
    batch = [Encoded((1, 2, 3), ((4,), (5, 6)), (), 0, 5), Encoded((1,), (), (2, 3), ["a"], 3)]
    assert token_counts(batch) == [[3, [1, 2], 0], [1, [], 2]]
