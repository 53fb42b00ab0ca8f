"""Tests of the table of costs: memory and time of Addax relative to each other method."""

import pytest

from benchmarks.report.costs import costs_table
from benchmarks.results.frame import Results
from tests.benchmarks.results import result_rows as made

TASKS = ("sst2", "rte", "cb")


def test_ratios_match_the_rows():
    rows = made.suite(tasks=TASKS)
    addax, other = (
        {r["config"]["task"]: r for r in rows if r["label"] == label} for label in ("Addax", "Adam")
    )
    table = costs_table(Results.of(rows).means)
    adam = table.data.set_index("method").loc["Adam"]
    for field, ratio in (("peak_bytes", adam["memory"]), ("train_seconds_to_best", adam["time"])):
        assert ratio == pytest.approx(
            sum(addax[t][field] for t in TASKS) / sum(other[t][field] for t in TASKS)
        )
    assert adam["tasks"] == 3
    assert list(table.table["method"]) == ["MeZO", "MeZO-SVRG", "IP-SGD", "SGD", "Adam"]


def test_only_tasks_that_both_finished_count():
    rows = [made.row("addax", t) for t in TASKS] + [made.row("adam", "sst2"), made.row("sgd", status="OOM")]
    table = costs_table(Results.of(rows).means)
    assert table.data[["method", "tasks"]].to_numpy().tolist() == [["Adam", 1]]


def test_without_addax_there_is_no_table():
    assert costs_table(Results.of([made.row("adam"), made.row("mezo")]).means) is None
