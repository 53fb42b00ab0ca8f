"""Tests of predictions at report time, from the heaviest batches of one row per model and method."""

import pytest

from benchmarks.config.spec import from_dict
from benchmarks.report import predictions
from benchmarks.report.predictions import predicted_peaks
from benchmarks.training import run
from tests.benchmarks.results import result_rows as made

BATCH = {"fo": [[20, [1, 1], 0]] * 4}


@pytest.fixture
def traced(monkeypatch):
    """Replace the predictor, and return a list of the ids of the rows that it is called with."""
    ids = []
    monkeypatch.setattr(predictions, "_peak", lambda row: ids.append(row["id"]) or len(ids))
    return ids


def test_a_prediction_agrees_with_the_measured_peak():
    spec = from_dict(
        {"method": "sgd", "model": "nano-opt", "task": "sst2", "lr": 0.01, "steps": 2, "train_rows": 32,
         "validation_rows": 8, "test_rows": 8, "evaluations": 1}
    )  # fmt: skip
    row = run.run(spec, run.load(spec, None), suite="s")
    assert predicted_peaks([row]) == {row["id"]: pytest.approx(row["peak_bytes"], rel=0.02)}


def test_each_model_and_method_is_predicted_once_at_its_largest_peak(traced):
    rows = [made.row(m, t) | {"heaviest_batches": BATCH} for m in ("sgd", "adam") for t in made.TITLES]
    largest = {row["label"]: row["id"] for row in sorted(rows, key=lambda row: row["peak_bytes"])}
    assert set(predicted_peaks(rows)) == set(traced) == set(largest.values())
    assert len(traced) == 2


def test_rows_without_heaviest_batches_have_no_prediction(traced):
    assert predicted_peaks([made.row("sgd"), made.row("adam") | {"heaviest_batches": {}}]) == {}
    assert traced == []


def test_a_model_that_cannot_be_traced_has_no_prediction():
    assert predicted_peaks([made.row("sgd", model="no-such-model") | {"heaviest_batches": BATCH}]) == {}
