"""Result rows on disk: whole or not at all, finished only where spec, data and sources are equal."""

import ast
import errno
import json
import os
from pathlib import Path

import pytest

from benchmarks import models, registry
from benchmarks.config.spec import from_dict
from benchmarks.config.validation import ZERO_SHOT
from benchmarks.errors import UserError
from benchmarks.results import store
from benchmarks.results.row import checksum

SPEC = from_dict({"method": "sgd", "model": "nano-opt", "task": "sst2", "lr": 0.1, "steps": 1})


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(store, "REFERENCE", tmp_path / "reference")
    return tmp_path / "runs"


def done_row(**changes):
    source = store.source_fingerprint("sgd", "nano-opt", "sst2")
    row = {"id": SPEC.id, "status": "done", "data_fingerprint": "d0", "source_fingerprint": source}
    return row | changes


def test_rows_come_back_as_written(runs):
    rows = [done_row(id=name, score=0.1 + 0.2, curve=[{"step": 0}], reason=None) for name in ("b", "a", "c")]
    for row in rows:
        assert store.write("s", row) == runs / "s" / f"{row['id']}.json"
    sealed = [row | {"checksum": checksum(row)} for row in rows]
    assert store.read_suite("s") == sorted(sealed, key=lambda row: row["id"])
    assert store.read_suite("none") == []


@pytest.mark.parametrize("failing", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_write_that_breaks_leaves_the_old_row(runs, monkeypatch, failing, error):
    store.write("s", done_row(score=1))
    before = sorted(os.listdir(runs / "s"))

    def broken(*_):
        raise error

    monkeypatch.setattr(store.os, failing, broken)
    raised = UserError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(raised) as caught:
        store.write("s", done_row(score=2))
    if raised is UserError:
        assert str(caught.value) == f"cannot write results to {runs / 's'}: No space left on device"
    monkeypatch.undo()
    assert sorted(os.listdir(runs / "s")) == before
    assert json.loads((runs / "s" / before[0]).read_text())["score"] == 1


def test_a_row_that_is_no_json_touches_nothing(runs):
    with pytest.raises(TypeError):
        store.write("s", done_row(score=object()))
    assert not list(runs.rglob("*.*"))


def test_what_a_killed_process_left_behind_is_no_row(runs):
    store.write("s", done_row())
    (runs / "s" / ".tmpabc.part").write_text('{"id": "ha')
    assert [row["id"] for row in store.read_suite("s")] == [SPEC.id]


@pytest.mark.parametrize("text", ['{"id": "ha', "", "[]", '{"id": 1}', '{"status": "done"}'])
def test_a_file_that_is_no_row_is_refused_by_name(runs, text):
    path = store.write("s", done_row())
    path.write_text(text)
    with pytest.raises(UserError, match=f"{SPEC.id}.json is not a .*remove it"):
        store.read_suite("s")


def test_a_run_is_finished_where_spec_data_and_sources_are_equal(runs):
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


def test_reference_rows_are_not_finished_runs(runs, tmp_path):
    path = store.commit_reference("s", [done_row(), done_row(id="b")])
    assert path == tmp_path / "reference" / "s.jsonl"
    assert [json.loads(line)["id"] for line in path.read_text().splitlines()] == [SPEC.id, "b"]
    assert not store.finished("s", SPEC, "d0")
    assert store.read_suite("s") == []


def fingerprint_after_change(monkeypatch, file, method="sgd"):
    original = Path.read_bytes

    def read(path):
        return original(path) + (b"\n" if path == file else b"")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", read)
        return store.source_fingerprint.__wrapped__(method, "nano-opt", "sst2")


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("addax/noise.py", True),
        ("addax/addax.py", True),
        ("addax/hf_trainer.py", False),
        ("baselines/sgd.py", True),
        ("baselines/ip_sgd.py", True),
        *(
            (f"benchmarks/{stem}.py", True)
            for stem in ("evaluation/scoring", "data/tokenize", "training/loop", "training/counters")
        ),
        ("benchmarks/tasks/sst2.py", True),
        ("benchmarks/tasks/_language.py", True),
        ("benchmarks/tasks/__init__.py", True),
        ("benchmarks/models/opt.py", True),
        ("benchmarks/models/weights/nano-opt/model.safetensors", True),
        ("benchmarks/models/weights/nano-opt/tokenizer.json", True),
        ("benchmarks/models/weights/nano-llama/model.safetensors", False),
        ("benchmarks/tasks/rte.py", False),
        ("benchmarks/sweep/scheduler.py", False),
        ("benchmarks/report/build.py", False),
        ("benchmarks/__main__.py", False),
        ("benchmarks/suites/quick.py", False),
    ],
)
def test_the_source_fingerprint_covers_what_defines_the_numbers(monkeypatch, name, counts):
    file = registry.ROOT / name
    assert file.is_file()
    before = store.source_fingerprint.__wrapped__("sgd", "nano-opt", "sst2")
    assert (fingerprint_after_change(monkeypatch, file) != before) == counts


def test_every_file_that_a_run_goes_through_is_in_the_fingerprint():
    """What `train` imports of the harness, and what that imports; names and outputs define no number."""
    carriers = {"errors", "registry", "results/store", "results/row"}
    root = registry.ROOT / "benchmarks"
    hashed = {f"models/{f.stem}" for f in (root / "models").glob("*.py")}
    reached, new = set(), {"training/run"}
    while new:
        reached |= new
        found = set()
        for name in new:
            for node in ast.walk(ast.parse((root / f"{name}.py").read_text())):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("benchmarks"):
                    inner = "/".join(node.module.split(".")[1:])
                    found |= {inner, *(f"{inner}/{alias.name}".lstrip("/") for alias in node.names)}
        files = {f.relative_to(root).with_suffix("").as_posix() for f in root.rglob("*.py")}
        new = (found & files) - reached - carriers
    assert {name for name in reached if not name.startswith(("tasks/", "models/", "suites/"))} == {
        name for name in store.HARNESS if not name.startswith("models/")
    }
    assert hashed >= {name for name in store.HARNESS if name.startswith("models/")}


def test_zero_shot_does_not_depend_on_the_baselines(monkeypatch):
    before = store.source_fingerprint.__wrapped__(ZERO_SHOT, "nano-opt", "sst2")
    assert fingerprint_after_change(monkeypatch, registry.ROOT / "baselines/sgd.py", ZERO_SHOT) == before


def test_the_fingerprint_of_a_model_folder_follows_its_files(tmp_path):
    fingerprint = store.source_fingerprint.__wrapped__
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "nested").mkdir()
    first = fingerprint("sgd", str(tmp_path), "sst2")
    assert first == fingerprint("sgd", str(tmp_path), "sst2")
    (tmp_path / "model.safetensors").write_bytes(b"0" * 10)
    second = fingerprint("sgd", str(tmp_path), "sst2")
    os.utime(tmp_path / "model.safetensors", ns=(1, 1))
    third = fingerprint("sgd", str(tmp_path), "sst2")
    assert len({first, second, third}) == 3
    assert fingerprint("sgd", "owner/name", "sst2") not in (first, second, third)


def test_every_built_in_model_has_a_fingerprint_of_its_own():
    nano = sorted(name for name in models.builtin() if name.startswith("nano-"))
    assert len({store.source_fingerprint("sgd", name, "sst2") for name in nano}) == len(nano)
