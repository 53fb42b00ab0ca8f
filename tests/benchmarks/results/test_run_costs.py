"""Tests of the memory and time of runs, computed from a few measured steps."""

import pandas as pd
import pytest

from benchmarks.results import run_costs
from benchmarks.results.frame import Results
from tests.benchmarks.results import result_rows as made


@pytest.fixture
def means():
    return Results.of([made.row("ip-sgd"), made.row("adam"), made.row("zero-shot")]).means


def measured(method, label=None):
    return made.row(method, label=label) | {"peak_bytes": 123, "step_seconds": 2.0}


def entry(found, label):
    return found[found["label"] == label].iloc[0]


def test_the_time_of_a_run_is_its_steps_times_the_time_of_a_measured_step(means):
    found = run_costs.with_costs(means, [measured("adam")])
    adam = entry(found, "Adam")
    assert (adam["peak_bytes"], adam["train_seconds"]) == (123, 2.0 * made.METHODS["adam"][1])
    assert adam["score"] == entry(means, "Adam")["score"]


def test_a_method_that_was_not_measured_has_no_cost(means):
    found = run_costs.with_costs(means, [measured("adam")])
    assert pd.isna(entry(found, "IP-SGD")["peak_bytes"])
    assert pd.isna(entry(found, "IP-SGD")["train_seconds"])


def test_checkpointing_has_the_scores_of_the_method_without_and_its_own_cost(means):
    found = run_costs.with_costs(means, [measured("ip-sgd", "IP-SGD (checkpointing)")])
    copy, plain = entry(found, "IP-SGD (checkpointing)"), entry(means, "IP-SGD")
    assert (copy["score"], copy["steps"]) == (plain["score"], plain["steps"])
    assert copy["peak_bytes"] == 123
    assert list(found["label"]).count("IP-SGD") == 1


def test_the_spread_of_other_runs_is_not_shown_beside_a_measured_peak(means):
    entries = means.assign(peak_bytes_std=0.5)
    assert "peak_bytes_std" not in run_costs.with_costs(entries, [measured("adam")])


def test_a_failed_measurement_does_not_count(means):
    row = measured("adam") | {"status": "failed"}
    assert pd.isna(entry(run_costs.with_costs(means, [row]), "Adam")["peak_bytes"])
