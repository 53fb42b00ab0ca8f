"""Tests of the sources of rows: local runs, committed rows, a user's files, and shards."""

import json

import pytest

from benchmarks.errors import UserError
from benchmarks.results.row import write, write_lines
from benchmarks.results.sources import join_rows, load_rows, match_rows
from tests.benchmarks.results import result_rows as made


@pytest.fixture
def root(tmp_path):
    (tmp_path / "results/reference").mkdir(parents=True)
    (tmp_path / "results/runs/demo").mkdir(parents=True)
    return tmp_path


def test_local_runs_take_precedence_over_committed_rows(root):
    write_lines(root / "results/reference/demo.jsonl", [made.row("adam"), made.row("mezo")])
    rows, source = load_rows("demo", root)
    assert (len(rows), source) == (2, "results/reference/demo.jsonl")
    write(root / "results/runs/demo/one.json", made.row("sgd"))
    rows, source = load_rows("demo", root)
    assert ([row["label"] for row in rows], source) == (["SGD"], "results/runs/demo")


def test_a_name_without_rows_names_the_command_that_produces_them(root):
    with pytest.raises(UserError, match="no rows of 'demo' yet: run `python -m benchmarks sweep demo`"):
        load_rows("demo", root)
    with pytest.raises(UserError, match="run `python -m benchmarks study precision --save`"):
        load_rows("precision", root)
    with pytest.raises(UserError, match="unknown suite 'dmeo': did you mean 'demo'"):
        load_rows("dmeo", root)


def test_a_pattern_selects_a_users_files(root):
    for i, row in enumerate((made.row("adam"), made.row("mezo"))):
        (root / f"{i}.json").write_text(json.dumps(row))
    assert [row["label"] for row in match_rows(str(root / "*.json"))] == ["Adam", "MeZO"]
    with pytest.raises(UserError, match="no result rows match"):
        match_rows(str(root / "*.jsonl"))


@pytest.fixture
def shards(tmp_path):
    """Write two shards that have one run in common."""
    folders = [tmp_path / name for name in "ab"]
    for folder, methods in zip(folders, (("adam", "mezo"), ("mezo", "sgd")), strict=True):
        folder.mkdir()
        for method in methods:
            write(folder / f"{method}.json", made.row(method))
    return folders


def test_shards_are_joined_and_equal_rows_count_once(shards):
    assert sorted(row["label"] for row in join_rows(shards)) == ["Adam", "MeZO", "SGD"]


def test_different_rows_of_one_run_are_a_one_line_error(shards):
    row = made.row("mezo")
    write(shards[1] / "mezo.json", row | {"score": 0.123})
    with pytest.raises(UserError) as caught:
        join_rows(shards)
    message = str(caught.value)
    assert "\n" not in message
    for part in (f"two different rows of run {row['id']}", *(str(f / "mezo.json") for f in shards)):
        assert part in message


def test_a_folder_without_rows_is_named(tmp_path):
    with pytest.raises(
        UserError, match=rf"{tmp_path}: no result rows \(.json or .jsonl files\) in this folder"
    ):
        join_rows([tmp_path])


def test_rows_of_a_study_are_not_joined(tmp_path):
    write_lines(tmp_path / "precision.jsonl", made.precision())
    with pytest.raises(UserError, match=r"precision\.jsonl: rows of a study"):
        join_rows([tmp_path])
