"""Tests of selection: one setting per method, selected only on validation scores."""

import pytest

from benchmarks.results import select
from benchmarks.results.frame import Results, frame
from benchmarks.results.select import CELL, candidates, keep_best, mean_over_seeds, select_best_setting
from benchmarks.results.sources import load_rows
from tests.benchmarks.results import result_rows as made


def validated(score, loss=0.5, **settings):
    row = made.row("adam", **settings)
    row["validation"] = {"score": score, "loss": loss, "n": 100}
    return row


def test_the_setting_is_chosen_on_validation_and_not_on_test():
    low, high = validated(0.9, lr=1e-4), validated(0.8, lr=1e-2)
    low["score"], high["score"] = 0.6, 0.95
    (line,) = Results.of([low, high]).means.to_dict("records")
    assert (line["lr"], line["score"], line["n"]) == (1e-4, 0.6, 1)


def test_a_tie_goes_to_the_lower_validation_loss():
    rows = [validated(0.9, 0.3, lr=1e-4), validated(0.9, 0.2, lr=1e-3), validated(0.9, 0.4, lr=1e-2)]
    assert list(select_best_setting(frame(rows))["lr"]) == [1e-3]


def test_settings_are_compared_by_their_means_over_seeds():
    rows = [validated(score, lr=1e-4, seed=s) for s, score in enumerate((1.0, 0.2))]
    rows += [validated(0.7, lr=1e-3, seed=s) for s in (0, 1)]
    assert list(select_best_setting(frame(rows))["lr"]) == [1e-3, 1e-3]


def test_a_sweep_of_batch_sizes_does_not_replace_the_entry_of_its_method():
    rows = [*made.suite(methods=("addax",)), *made.k0_sweep()]
    best = made.row("addax", "sst2", zo_batch_size=12, fo_batch_size=4)
    best["validation"]["score"] = 1.0
    kept = select_best_setting(frame([r for r in rows if r["id"] != best["id"]] + [best]))
    line = kept[(kept["label"] == "Addax") & (kept["task"] == "sst2")]
    assert list(line["zo_batch_size"]) == [6]


def test_a_task_without_the_usual_sizes_keeps_its_sizes():
    rows = [*made.suite(methods=("sgd",), tasks=("rte", "cb")), made.row("sgd", "sst2", fo_batch_size=2)]
    assert len(candidates(frame(rows))) == 3


def test_a_selection_within_each_size_keeps_one_setting_per_size():
    rows = [validated(0.5 + lr, lr=lr, fo_batch_size=size) for lr in (0.1, 0.2) for size in (2, 4)]
    kept = keep_best(frame(rows), [*CELL, "fo_batch_size"])
    assert kept[["fo_batch_size", "lr"]].to_numpy().tolist() == [[2, 0.2], [4, 0.2]]


def test_means_are_over_finished_seeds_and_count_the_others():
    rows = [made.row("adam", seed=s) for s in range(3)] + [made.row("adam", seed=3, status="failed")]
    (line,) = mean_over_seeds(frame(rows)).to_dict("records")
    assert (line["outcome"], line["n"], line["failed"]) == ("done", 3, 1)
    assert line["score"] == pytest.approx(sum(row["score"] for row in rows[:3]) / 3)


def test_a_setting_that_diverges_loses_to_one_that_always_finishes():
    rows = [validated(0.8, lr=1e-3, seed=s) for s in range(3)] + [validated(0.9, lr=1e-2)]
    rows += [made.row("adam", lr=1e-2, seed=s, status="failed") for s in (1, 2)]
    (line,) = Results.of(rows).means.to_dict("records")
    assert (line["lr"], line["n"], line["failed"]) == (1e-3, 3, 0)


def test_rounding_errors_break_no_tie():
    """The means of these scores differ in the last digit, although both sums are 2.522."""
    scores = ((0.871, 0.814, 0.837), (0.837, 0.814, 0.871))
    rows = [
        validated(score, loss, lr=lr, seed=seed)
        for lr, loss, of_lr in zip((1e-4, 1e-3), (0.2, 0.1), scores, strict=True)
        for seed, score in enumerate(of_lr)
    ]
    assert set(select_best_setting(frame(rows))["lr"]) == {1e-3}


def test_a_missing_run_does_not_make_a_swept_batch_size_unusual():
    rows = [
        made.row("adam", task, fo_batch_size=size)
        for task in ("sst2", "rte", "cb")
        for size in (2, 4)
        if (task, size) != ("cb", 2)
    ]
    assert len(candidates(frame(rows))) == 5


def test_the_steps_of_a_mean_are_those_of_finished_runs():
    """With a budget of work, the number of steps is known from the run, and a diverged run ended early."""
    rows = [made.row("adam", seed=s, status="failed" if s == 0 else "done") for s in range(3)]
    for row in rows:
        row["config"] |= {"steps": None, "forward_equivalents": 4800}
    (line,) = mean_over_seeds(frame(rows)).to_dict("records")
    assert (line["n"], line["steps"]) == (2, rows[1]["curve"][-1]["step"])
    assert rows[0]["curve"][-1]["step"] < line["steps"]


def test_the_committed_grid_keeps_a_setting_with_the_best_validation_score():
    runs = Results.of(*load_rows("quick-grid")).runs
    assert runs["validation_score"].notna().all()
    kept = select.select_best_setting(runs).set_index(CELL)
    for cell, trials in runs.groupby(CELL):
        best = trials[trials["validation_score"] == trials["validation_score"].max()]
        assert set(kept.loc[[cell], "lr"]) <= set(best["lr"])


def test_a_setting_can_be_chosen_among_negative_scores():
    rows = [validated(score, lr=lr) | {"metric": "matthews"} for lr, score in ((1e-4, -0.4), (1e-3, -0.1))]
    assert list(select_best_setting(frame(rows))["lr"]) == [1e-3]
