"""Tests of rows on disk: writes are atomic, and a run is finished only if spec, data, and sources match."""

import errno
import json
import os
from pathlib import Path

import pytest

from benchmarks import files
from benchmarks.config import fingerprint
from benchmarks.config.fingerprint import source_fingerprint
from benchmarks.config.spec import from_dict
from benchmarks.errors import UserError
from benchmarks.results import store
from benchmarks.results.row import checksum, write_lines
from tests.benchmarks.results import result_rows as made

SPEC = from_dict({"method": "sgd", "model": "nano-opt", "task": "sst2", "lr": 0.1, "steps": 1})


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(store, "REFERENCE", tmp_path / "reference")
    return tmp_path / "runs"


def done_row(**changes):
    row = made.row("sgd") | {"id": SPEC.id, "data_fingerprint": "d0"}
    row["source_fingerprint"] = source_fingerprint(SPEC)
    return row | changes


def test_rows_are_read_back_as_written(runs):
    rows = [done_row(id=name, score=0.1 + 0.2, curve=[{"step": 0}], reason=None) for name in ("b", "a", "c")]
    for row in rows:
        assert store.write("s", row) == runs / "s" / f"{row['id']}.json"
    sealed = [row | {"checksum": checksum(row)} for row in rows]
    assert store.read_suite("s") == sorted(sealed, key=lambda row: row["id"])
    assert store.read_suite("none") == []


@pytest.mark.parametrize("failing", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_an_interrupted_write_leaves_the_old_row(runs, monkeypatch, failing, error):
    store.write("s", done_row(score=1))
    before = sorted(os.listdir(runs / "s"))

    def broken(*_):
        raise error

    monkeypatch.setattr(files.os, failing, broken)
    raised = UserError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(raised) as caught:
        store.write("s", done_row(score=2))
    if raised is UserError:
        assert str(caught.value) == f"cannot write results to {runs / 's'}: No space left on device"
    monkeypatch.undo()
    assert sorted(os.listdir(runs / "s")) == before
    assert json.loads((runs / "s" / before[0]).read_text())["score"] == 1


def test_a_row_that_is_not_json_writes_nothing(runs):
    with pytest.raises(TypeError):
        store.write("s", done_row(score=object()))
    assert not list(runs.rglob("*.*"))


def test_leftovers_of_a_killed_process_are_not_rows(runs):
    store.write("s", done_row())
    (runs / "s" / ".tmpabc.part").write_text('{"id": "ha')
    assert [row["id"] for row in store.read_suite("s")] == [SPEC.id]


@pytest.mark.parametrize("text", ['{"id": "ha', "", "[]", '{"id": 1}', '{"config": {}, "schema": 2}'])
def test_a_file_that_is_not_a_row_is_rejected_by_name(runs, text):
    path = store.write("s", done_row())
    path.write_text(text)
    with pytest.raises(UserError, match=f"{SPEC.id}.json: not .*remove it"):
        store.read_suite("s")


def test_a_run_is_finished_if_spec_data_and_sources_are_equal(runs):
    assert not store.finished("s", SPEC, "d0")
    store.write("s", done_row())
    assert store.finished("s", SPEC, "d0")
    assert not store.finished("other", SPEC, "d0")
    assert not store.finished("s", SPEC, "d1")
    other = from_dict({"method": "sgd", "model": "nano-opt", "task": "sst2", "lr": 0.2, "steps": 1})
    assert not store.finished("s", other, "d0")
    for changes in ({"status": "failed"}, {"data_fingerprint": "d2"}, {"source_fingerprint": "0" * 16}):
        store.write("s", done_row(**changes))
        assert not store.finished("s", SPEC, "d0")


def test_a_row_of_an_older_version_of_the_generator_is_not_finished(runs, monkeypatch):
    """The version is part of the task's file, so the row has other sources even if its data are equal."""
    store.write("s", done_row())
    assert store.finished("s", SPEC, "d0")
    original = Path.read_bytes

    def read(path):
        content = original(path)
        return (
            content.replace(b"title=", b"generator_version=9, title=") if path.name == "sst2.py" else content
        )

    caches = (fingerprint._fingerprint, fingerprint._digest)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", read)
        for cached in caches:
            cached.cache_clear()
        assert not store.finished("s", SPEC, "d0")
        assert store.has_finished_row("s", SPEC)
    for cached in caches:
        cached.cache_clear()
    assert store.finished("s", SPEC, "d0")


def test_reference_rows_are_not_finished_runs(runs):
    store.REFERENCE.mkdir()
    write_lines(store.REFERENCE / "s.jsonl", [done_row()])
    assert not store.finished("s", SPEC, "d0")
