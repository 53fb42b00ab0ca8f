"""Tests of the provenance line: it lists values that differ between rows, and equal values once."""

import pytest

from benchmarks.report.provenance import provenance_line
from tests.benchmarks.results import result_rows as made


def test_provenance_lists_all_differences():
    one, two = made.row("adam"), made.row("mezo", status="failed")
    two["git_commit"], two["git_dirty"], two["config"]["data"] = "fedcba9876543210", True, "hub"
    two["started"], two["ended"] = "2026-04-02T00:00:00", "2026-04-03T00:00:00"
    line = provenance_line([one, two])
    for fact in (
        "1 of 2 done",
        "0123456, fedcba9+changes",
        "builtin, hub",
        "torch 2.13.0",
        "2026-03-01 to 2026-04-03",
    ):
        assert fact in line
    assert "\n" not in line


def test_provenance_lists_the_commits_from_the_hub():
    one, two = made.row("adam"), made.row("mezo", "rte")
    for row in (one, two):
        row["config"]["model"] = "facebook/opt-125m@v1"
        row |= {"model_commit": "0123456789" * 4, "data_commit": "abcdef0123" * 4}
    line = provenance_line([one, two])
    assert "data commits: sst2 abcdef0, rte abcdef0; model commits: facebook/opt-125m@v1 0123456;" in line
    assert "commits" not in provenance_line([made.row("adam")])


def test_provenance_lists_runs_that_did_not_fit():
    small = made.row("sgd", "multirc")
    tried = [{"fo_batch_size": size, "eval_batch_size": 32} for size in (8, 4)]
    small |= {"batch_sizes": {"fo_batch_size": 2, "eval_batch_size": 32}, "batch_sizes_tried": tried}
    line = provenance_line([small, made.row("adam", status="OOM") | {"batch_sizes_tried": tried}])
    assert "1 of 2 done; out of memory: 1; " in line
    assert "batch sizes halved to fit: SGD on MultiRC (fo_batch_size 8 to 2);" in line
    assert "halved" not in provenance_line([made.row("adam")])


@pytest.mark.parametrize(
    ("budgets", "text"),
    [
        ({"mezo": {"steps": 20000}, "addax": {"steps": 1000}}, "unequal steps (MeZO 20000, Addax 1000)"),
        ({"mezo": {"seconds": 360.0}, "addax": {"seconds": 360.0}}, "equal seconds (360)"),
        ({"mezo": {"forward_equivalents": 64}}, "equal forward-equivalents (64)"),
    ],
)
def test_provenance_describes_the_budgets(budgets, text):
    rows = [made.row("zero-shot")]
    for method, budget in budgets.items():
        row = made.row(method)
        row["config"] |= {"steps": None} | budget
        rows.append(row)
    assert f"budget: {text};" in provenance_line(rows)


@pytest.mark.parametrize(
    ("last", "text"),
    [
        (360.0, "equal seconds on each model (nano-opt 120, nano-llama 360)"),
        (300.0, "unequal seconds (MeZO 120 or 360, Addax 120 or 300)"),
    ],
)
def test_provenance_describes_budgets_that_are_equal_on_each_model(last, text):
    rows = []
    for model, given in (("nano-opt", (120.0, 120.0)), ("nano-llama", (360.0, last))):
        for method, seconds in zip(("mezo", "addax"), given, strict=True):
            row = made.row(method)
            row["config"] |= {"model": model, "steps": None, "seconds": seconds}
            rows.append(row)
    assert f"budget: {text};" in provenance_line(rows)
