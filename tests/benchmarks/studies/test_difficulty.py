"""Tests of the difficulty of the built-in tasks: the criteria, and the committed rows that must meet them."""

from collections import defaultdict
from statistics import mean

import pytest

from benchmarks import registry
from benchmarks.results import store
from benchmarks.results.row import read
from benchmarks.studies import _criteria, difficulty
from benchmarks.studies._criteria import Scores
from benchmarks.suites import quick

# Criteria that the committed rows miss, as (model, task, criterion).
MISSED = {("nano-llama", "squad", "gain of Adam over zero-shot")}


def study_rows():
    return read(store.REFERENCE / "difficulty.jsonl")


def scores_of_quick():
    """Return the scores of nano-opt on the nine tasks, from the committed rows of `quick`."""
    scores, aucs = defaultdict(lambda: defaultdict(list)), defaultdict(list)
    for row in read(store.REFERENCE / "quick.jsonl"):
        config = row["config"]
        if config["model"] != "nano-opt" or config["method"] not in _criteria.METHODS:
            continue
        assert row["test"]["n"] == 1000
        scores[config["task"]][config["method"]].append(100 * row["score"])
        if config["method"] == "zero-shot":
            aucs[config["task"]].append(row["test"]["auc"])
    majorities = {
        row["task"]: 100 * mean(row["scores"]["majority"])
        for row in study_rows()
        if row["model"] == "nano-opt" and row["task"] in quick.TASKS
    }
    found = []
    for task, by_method in scores.items():
        assert all(len(values) == 3 for values in by_method.values())
        auc = None if None in aucs[task] else mean(aucs[task])
        means = {method: mean(values) for method, values in by_method.items()}
        found.append(Scores(task, means, auc, majorities[task]))
    return found


def test_the_nine_tasks_meet_the_criteria_in_the_committed_rows_of_quick():
    scores = scores_of_quick()
    assert sorted(s.task for s in scores) == sorted(quick.TASKS)
    assert {s.task for s in scores if s.auc is not None} == {"sst2", "rte", "boolq", "wsc", "wic", "multirc"}
    missed = {("nano-opt", f.task, f.what) for s in scores for f in _criteria.of_task(s) if not f.met}
    assert missed == {m for m in MISSED if m[0] == "nano-opt"}


def test_mezo_learns_and_is_behind_adam_on_six_tasks():
    scores = scores_of_quick()
    assert sum(_criteria.mezo_learns(s).met for s in scores) >= _criteria.MEZO_TASKS
    assert sum(_criteria.mezo_is_behind(s).met for s in scores) >= _criteria.MEZO_TASKS


def test_nano_llama_and_long_examples_meet_the_criteria_in_the_committed_rows():
    rows = [
        row for row in study_rows() if row["model"] == "nano-llama" or row["task"] in difficulty.LONG_TASKS
    ]
    expected = {("nano-llama", task) for task in ("sst2", "boolq", "squad")}
    expected |= {("nano-opt", task) for task in ("boolq-long", "multirc-long", "squad-long")}
    assert {(row["model"], row["task"]) for row in rows} == expected
    assert all(row["seeds"] == [0, 1, 2] and row["test_rows"] == 1000 for row in rows)
    missed = {(r["model"], f.task, f.what) for r in rows for f in difficulty.findings(r) if not f.met}
    assert missed == {m for m in MISSED if m[0] == "nano-llama"}


def test_the_rows_belong_to_the_committed_weights_and_knobs():
    rows = study_rows()
    expected = [(m, task) for m in difficulty.MODELS for task in difficulty.default_tasks(m)]
    assert [(row["model"], row["task"]) for row in rows] == expected
    for row in rows:
        assert row["weights"] == difficulty.weights_of(row["model"])
        assert row["knobs"] == difficulty.knobs_text(row["task"])
        assert row["generator_version"] == registry.module("task", row["task"]).TASK.generator_version


@pytest.mark.parametrize(
    ("changes", "missed"),
    [
        ({}, set()),
        ({"auc": 0.81}, {"AUC of zero-shot"}),
        ({"adam": 64.9}, {"gain of Adam over zero-shot"}),
        ({"adam": 97.1}, {"score of Adam"}),
        ({"auc": None, "majority": 39.9}, {"distance of zero-shot from the majority answer"}),
        ({"auc": None, "majority": 60.1}, {"distance of zero-shot from the majority answer"}),
        ({"auc": None, "majority": 59.9}, set()),
    ],
)
def test_each_criterion_has_the_bound_of_its_name(changes, missed):
    values = {"auc": 0.8, "adam": 80.0, "majority": 50.0} | changes
    scores = Scores(
        "t", {"zero-shot": 50.0, "mezo": 60.0, "adam": values["adam"]}, values["auc"], values["majority"]
    )
    assert {f.what for f in _criteria.of_task(scores) if not f.met} == missed


def test_mezo_must_gain_five_points_and_be_five_behind():
    def scores(mezo, adam):
        return Scores("t", {"zero-shot": 50.0, "mezo": mezo, "adam": adam}, 0.7, 50.0)

    assert _criteria.mezo_learns(scores(55.0, 70.0)).met
    assert not _criteria.mezo_learns(scores(54.9, 70.0)).met
    assert _criteria.mezo_is_behind(scores(55.0, 60.0)).met
    assert not _criteria.mezo_is_behind(scores(55.0, 59.9)).met


def test_long_rows_must_be_learned_from_long_examples_only():
    def missed(short, every):
        scores = Scores("t", {"zero-shot": 50.0, _criteria.ADAM_SHORT: short, "adam": every}, None, None)
        return [f.what for f in _criteria.of_long_task(scores) if not f.met]

    assert missed(54.9, 65.1) == []
    assert missed(45.1, 65.1) == []
    assert missed(55.1, 65.1) == missed(44.9, 65.1) == ["distance of Adam on short examples"]
    assert missed(50.0, 64.9) == ["gain of Adam on all examples"]
