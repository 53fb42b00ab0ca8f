"""Tests of the order of tasks and methods, and of the names of scores."""

from benchmarks.results.frame import Results, frame
from benchmarks.results.order import METHODS, display_order, score_name
from tests.benchmarks.results import result_rows as made


def test_methods_and_tasks_have_a_fixed_order_and_unknown_ones_follow():
    rows = [*made.suite(tasks=("squad", "sst2"))[::-1], made.row(label="Mine"), made.row(task="zebra")]
    data = frame(rows)
    assert display_order(data, "label") == [*(m for m in METHODS if m != "Addax-WA"), "Mine"]
    assert display_order(data, "task") == ["sst2", "squad", "zebra"]


def test_scores_are_named_after_the_metrics_of_the_rows():
    rows = [made.row(task="sst2"), made.row(task="squad")]
    assert score_name(frame(rows)) == "accuracy or F1"
    rows.append(made.row(task="gsm8k") | {"metric": "exact_match"})
    assert score_name(Results.of(rows).means, "acc.") == "acc., F1 or exact match"
    assert list(frame(rows)["task"]) == ["sst2", "squad", "gsm8k"]
