"""Tests of the order of tasks and methods, and of the names of scores."""

from benchmarks.config.names import is_trained
from benchmarks.results.frame import Results, frame
from benchmarks.results.order import METHODS, display_order, score_name, score_unit
from benchmarks.results.tuning import trials_table
from tests.benchmarks.results import result_rows as made


def test_methods_and_tasks_have_a_fixed_order_and_unknown_ones_follow():
    rows = [*made.suite(tasks=("squad", "sst2"))[::-1], made.row(label="Mine"), made.row(task="zebra")]
    data = frame(rows)
    assert display_order(data, "label") == [*(m for m in METHODS if m not in ("ICL", "Addax-WA")), "Mine"]
    assert display_order(data, "task") == ["sst2", "squad", "zebra"]


def test_in_context_learning_follows_zero_shot_and_counts_as_untrained():
    rows = [made.row("zero-shot"), made.row("mezo"), made.row("zero-shot", seed=1)]
    rows[2]["config"]["demonstrations"], rows[2]["label"] = 32, "ICL-32"
    data = frame(rows)
    assert display_order(data, "label") == ["zero-shot", "ICL-32", "MeZO"]
    assert [label for label in display_order(data, "label") if is_trained(label)] == ["MeZO"]
    assert set(trials_table(Results.of(rows))["label"]) == {"MeZO"}


def test_scores_are_named_after_the_metrics_of_the_rows():
    rows = [made.row(task="sst2"), made.row(task="squad")]
    assert score_name(frame(rows[:1])) == "accuracy"
    assert score_name(frame(rows)) == "accuracy or F1"
    rows.append(made.row(task="gsm8k") | {"metric": "exact_match"})
    assert score_name(Results.of(rows).means, "acc.") == "acc., F1 or exact match"
    rows.append(made.row(task="mrpc") | {"metric": "class_f1"})
    assert score_name(frame(rows[1:])) == "F1, exact match or class F1"
    assert list(frame(rows[:3])["task"]) == ["sst2", "squad", "gsm8k"]


def test_matthews_correlation_has_no_percent_sign():
    rows = [made.row(task="sst2"), *made.signed([made.row(task="rte")])]
    assert [score_unit(frame(part)) for part in (rows[:1], rows[1:], rows)] == ["%", "× 100", "%, MCC × 100"]
    assert score_name(frame(rows)) == "accuracy or MCC"
