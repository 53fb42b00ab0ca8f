"""Tests of comparable rows: one kind is the reference, and all others are excluded with a reason."""

import pytest

from benchmarks.results.comparable import lines, partition_comparable
from benchmarks.results.frame import Results
from tests.benchmarks.results import result_rows as made


def changed(row, **changes):
    """Return a changed row; a field of its config is named "config_NAME"."""
    config = {k.removeprefix("config_"): v for k, v in changes.items() if k.startswith("config_")}
    others = {k: v for k, v in changes.items() if not k.startswith("config_")}
    return row | others | {"config": row["config"] | config}


CHANGES = {
    "metric": {"metric": "f1"},
    "scoring": {"config_scoring": "per_candidate"},
    "data": {"config_data": "hub"},
    "data fingerprint": {"data_fingerprint": "e" * 16},
    "model commit": {"model_commit": "e" * 40},
    "device": {"config_device": "cuda"},
    "head": {"config_head": "classification"},
    "budget": {"config_steps": 80},
}


@pytest.mark.parametrize("what", CHANGES)
def test_the_most_frequent_kind_is_the_reference_and_other_rows_are_excluded(what):
    usual = [made.row(seed=seed) for seed in range(3)]
    odd = changed(made.row(seed=3), **CHANGES[what])
    kept, (entry,) = partition_comparable([odd, *usual])
    assert kept == usual
    assert (entry["what"], entry["label"], entry["task"], entry["rows"]) == (what, "Addax", "sst2", 1)
    assert entry["kind"] != entry["reference"]
    results = Results.of([odd, *usual])
    assert results.excluded == [entry]
    (line,) = results.means.to_dict("records")
    assert line["n"] == 3
    assert line["score"] == pytest.approx(sum(row["score"] for row in usual) / 3)


@pytest.mark.parametrize("field", ["task_version", "generator_version"])
def test_the_newest_version_of_a_task_is_the_reference_and_the_message_names_the_versions(field):
    """A row without the field is of version 1. The other task keeps its own version."""
    what = {"task_version": "prompt version", "generator_version": "generator version"}[field]
    old = [made.row(method, seed=seed) for method in ("addax", "mezo") for seed in range(3)]
    new, other = [made.row("adam") | {field: 3}], [made.row(task="rte") | {field: 2}]
    kept, excluded = partition_comparable([*old, *new, *other])
    assert kept == [*new, *other]
    assert [(e["label"], e["kind"], e["reference"], e["rows"]) for e in excluded] == [
        ("Addax", 1, 3, 3),
        ("MeZO", 1, 3, 3),
    ]
    assert lines(excluded) == [f"Excluded 6 rows of sst2 with {what} 1 (the newest is version 3)."]


def test_only_built_in_rows_have_a_generator():
    """Rows of a folder stay comparable with each other, whatever the generator of built-in rows."""
    folder = [changed(made.row(seed=seed), config_data="folder") for seed in range(3)]
    builtin = made.row(seed=3) | {"generator_version": 2}
    kept, (entry,) = partition_comparable([*folder, builtin])
    assert (kept, entry["what"]) == (folder, "data")


def test_rows_of_a_study_are_of_one_version_of_each_task():
    rows = made.lengths((("builtin", "nano-opt"), ("folder", "smollm2-135m")))
    new = [
        row | {"tokenizer": "nano-llama", "generator_version": 2}
        for row in made.lengths((("builtin", "x"),))
        if row["task"] == "boolq"
    ]
    results = Results.of([*rows, *new])
    of_boolq = results.runs[results.runs["task"] == "boolq"]
    assert sorted(of_boolq["tokenizer"]) == ["nano-llama", "smollm2-135m"]
    assert len(results.runs) == len(results.comparable) == 18
    assert lines(results.excluded) == [
        "Excluded 1 row of boolq with generator version 1 (the newest is version 2)."
    ]


def test_an_excluded_setting_is_not_a_candidate():
    """The odd run has another setting and the best validation score by far, but it must not be selected."""
    usual = [made.row(seed=seed) for seed in range(2)]
    odd = changed(made.row(lr=0.5), config_steps=99999, validation={"accuracy": 1.0, "loss": 0.0}, score=1.0)
    assert Results.of([*usual, odd]).means["lr"].to_list() == [1e-3]


def test_the_newest_of_two_equally_frequent_kinds_is_the_reference():
    old = changed(made.row(seed=0), ended="2026-03-01T00:00:00", config_steps=10)
    new = changed(made.row(seed=1), ended="2026-03-02T00:00:00", config_steps=20)
    for rows in ([old, new], [new, old]):
        assert partition_comparable(rows)[0] == [new]


def test_methods_may_differ_in_their_budgets_and_tasks_in_anything():
    rows = [
        changed(made.row("mezo"), config_steps=20000),
        changed(made.row("addax"), config_steps=1000),
        changed(made.row("addax", "rte"), config_steps=None, config_seconds=60.0, config_data="hub"),
        changed(made.row("adam", "squad"), config_data="folder", config_scoring="per_candidate"),
        changed(made.row("zero-shot"), config_steps=0),
    ]
    assert partition_comparable(rows) == (rows, [])


def test_shots_are_separate_columns():
    rows = [changed(made.row(seed=s), config_shots=k) for k in (16, 512) for s in range(2)]
    assert Results.of(rows).means[["model", "n", "shots"]].to_numpy().tolist() == [
        ["nano-opt k=16", 2, 16],
        ["nano-opt k=512", 2, 512],
    ]


def test_each_reason_is_one_line():
    rows = [*(made.row(seed=s) for s in range(2)), changed(made.row(seed=2), config_steps=77)]
    assert lines(partition_comparable(rows)[1]) == ["Excluded 1 row with another budget."]
