"""Tests of every study: committed rows, tables, and the merging of saved rows."""

import json

import pytest

from benchmarks import registry, studies
from benchmarks.results import store

NAMES = list(registry.files("study"))


@pytest.mark.parametrize("name", NAMES)
def test_a_study_is_complete_and_its_tables_show_its_committed_rows(name):
    study = studies.load(name)
    file = store.REFERENCE / f"{name}.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert {row["study"] for row in rows} == {name}
    for kind, table in studies.page_tables(name).items():
        assert len(table(rows).splitlines()) > 2, kind
    assert study.problem is None or study.problem(rows) is None
    assert all(option.help for option in study.options)
    # Saving the committed rows again must not change them.
    assert studies.merged(study, rows, rows) == rows


def test_saved_rows_replace_only_rows_with_the_same_setting(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "REFERENCE", tmp_path)
    here = {"shape": "opt-125m", "dtype": "float32", "device": "cpu", "hardware": "a"}
    studies.save("step-speed", [here | {"seconds": 1}, here | {"hardware": "b", "seconds": 2}])
    target = studies.save("step-speed", [here | {"seconds": 3}])
    assert target == tmp_path / "step-speed.jsonl"
    kept = [json.loads(line) for line in target.read_text().splitlines()]
    assert sorted((row["hardware"], row["seconds"]) for row in kept) == [("a", 3), ("b", 2)]
    assert {row["study"] for row in kept} == {"step-speed"}


def test_a_study_without_a_key_replaces_all_rows():
    study = studies.Study(measure=lambda options, say: [], table=str)
    assert studies.merged(study, [{"a": 1}, {"a": 2}], [{"a": 3}]) == [{"a": 3}]


def test_scoring_reports_losses_that_disagree():
    study = studies.load("scoring-speed")
    assert study.problem([{"loss_difference": 1e-7}]) is None
    assert "differ by 1.0e-03" in study.problem([{"loss_difference": 1e-3}, {"loss_difference": 0.0}])
