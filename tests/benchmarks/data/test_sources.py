"""Tests of data sources: hub and folder give equal rows, errors name malformed rows, files are read once."""

import dataclasses
import gzip
import json
from pathlib import Path

import pytest

from benchmarks import tasks
from benchmarks.config.spec import from_dict
from benchmarks.data import hub_rows
from benchmarks.data.formats import text
from benchmarks.data.splits import load_splits
from benchmarks.training import run as train
from tests.benchmarks.data.folders import clear_files, error_of, fresh_splits, reviews, write, write_reviews

FIXTURES = json.loads((Path(__file__).parent.parent / "fixtures" / "tasks.json").read_text())
EVERY = sorted(FIXTURES)


@pytest.fixture
def folder(tmp_path):
    return write_reviews(tmp_path)


@pytest.mark.parametrize("name", EVERY)
def test_hub_rows_and_file_rows_give_the_same_splits(name, tmp_path, monkeypatch):
    raw, requests = FIXTURES[name], []

    def load(hub, revision, known):
        requests.append((hub.dataset, hub.config, hub.train, hub.validation, revision or hub.revision))
        assert hub.dataset in known
        # Rows without a gold label take part in the draw, but are skipped.
        return [[row for row in raw["hub"] if row.get("label") != -1]] * 2, "a commit"

    monkeypatch.setattr(hub_rows, "load", load)
    for split in ("train", "validation"):
        write(tmp_path / name / f"{split}.jsonl", raw["file"])
    # Both public splits hold the same few rows here, so no rows are left for the test split.
    size = {"train": 2, "validation": len(raw["file"]) // 2, "test": 0, "seed": 1}
    hub, file = (fresh_splits(name, source, **size) for source in ("hub", str(tmp_path)))
    assert hub.train == file.train
    assert (hub.validation, hub.fingerprint) == (file.validation, file.fingerprint)
    assert (hub.source, file.source) == ("hub", "folder")
    where = {
        "sst2": ("nyu-mll/glue", "sst2"),
        "wsc": ("aps/super_glue", "wsc.fixed"),
        "squad": ("rajpurkar/squad", None),
        "sst5": ("SetFit/sst5", None),
        "trec": ("CogComp/trec", None),
        "snli": ("stanfordnlp/snli", None),
        "gsm8k": ("openai/gsm8k", "main"),
        "drop": ("ucinlp/drop", None),
    }.get(name, ("nyu-mll/glue" if name in ("mnli", "qnli", "cola", "mrpc") else "aps/super_glue", name))
    held_out = {"mnli": "validation_matched", "trec": "test", "gsm8k": "test"}.get(name, "validation")
    revision = {"trec": "refs/convert/parquet"}.get(name)
    assert requests == [(*where, "train", held_out, revision)]
    assert (hub.commit, file.commit) == ("a commit", None)


def test_a_missing_folder_task_or_file_is_named(folder):
    assert str(folder / "nowhere") in error_of(folder / "nowhere")
    (folder / "sst2").rename(folder / "sst-2")
    message = error_of(folder)
    assert "'sst2'" in message
    assert "did you mean 'sst-2'?" in message
    (folder / "sst-2").rename(folder / "sst2")
    (folder / "sst2" / "validation.jsonl.gz").unlink()
    assert "validation.jsonl or validation.jsonl.gz" in error_of(folder)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"sentence": "x", "label": 1', "not JSON"),
        ('{"sentence": "x"}', "field 'label' is missing"),
        ('{"sentence": "x", "label": 2}', "0 to 1"),
        ('{"sentence": "", "label": 1}', "field 'sentence' is empty"),
        ("[1, 2]", "expected an object"),
    ],
)
def test_a_malformed_line_is_named_with_file_and_number(folder, line, expected):
    path = folder / "sst2" / "train.jsonl"
    lines = path.read_text().splitlines()
    lines[6] = line
    path.write_text("\n".join(lines))
    message = error_of(folder)
    assert f"{path}, line 7: " in message
    assert expected in message


def test_a_damaged_file_is_named(folder):
    path = folder / "sst2" / "validation.jsonl.gz"
    path.write_bytes(path.read_bytes()[:-20])
    assert str(path) in error_of(folder)
    path.write_text("no archive")
    assert str(path) in error_of(folder)


def test_a_line_that_the_cloze_cannot_use_is_named(folder, monkeypatch):
    wrong = dataclasses.replace(tasks.load("sst2"), cloze=lambda row, mask: row["text"] + mask)
    monkeypatch.setattr(tasks, "load", lambda name: wrong)
    message = error_of(folder)
    assert "train.jsonl, line 1: cloze of task sst2 (" in message
    assert "raised KeyError: 'text'" in message


@pytest.fixture
def opened(monkeypatch):
    """Record the names of all data files that are opened."""
    clear_files()
    paths, real_open, real_gzip_open = [], open, gzip.open

    def counted(real):
        def call(path, *args, **kwargs):
            paths.append(Path(path).name)
            return real(path, *args, **kwargs)

        return call

    monkeypatch.setattr(text, "open", counted(real_open), raising=False)
    monkeypatch.setattr(text.gzip, "open", counted(real_gzip_open))
    return paths


def test_thirty_runs_of_a_task_open_each_file_once(folder, opened):
    specs = [
        from_dict(
            {"method": method, "model": "nano-opt", "task": "sst2", "data": "folder", "steps": 1, "lr": 1e-3}
            | {"seed": seed, "data_seed": seed, "train_rows": 100, "validation_rows": 20, "test_rows": 20}
        )
        for method in ("addax", "mezo", "sgd")
        for seed in range(10)
    ]
    prints = [train.data_fingerprint(spec, str(folder)) for spec in specs]
    assert [train.load(spec, str(folder)).fingerprint for spec in specs] == prints
    assert len(set(prints)) == 10
    assert sorted(opened) == ["train.jsonl", "validation.jsonl.gz"]


def test_a_file_that_changes_is_read_again(folder, opened):
    size = {"train": 100, "validation": 20, "test": 20, "seed": 0}
    before = fresh_splits("sst2", str(folder), **size)
    write(folder / "sst2" / "train.jsonl", reviews(2000, start=10_000))
    after = load_splits("sst2", str(folder), **size)
    assert opened.count("train.jsonl") == 2
    assert not {e.key for e in before.train} & {e.key for e in after.train}


def test_marks_of_the_byte_order_blank_lines_and_line_ends_of_any_kind_are_accepted(folder):
    """U+2028 is a line end for `str.splitlines`, but a character of a JSON text."""
    path, size = folder / "sst2" / "train.jsonl", {"train": 20, "validation": 2, "test": 2, "seed": 0}
    rows = [{"sentence": f"film {i} \u2028 and \u0085 more", "label": i % 2} for i in range(30)]
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    for end in ("\n", "\r\n", "\r", "\n\n \t\n"):
        path.write_bytes(b"\xef\xbb\xbf" + end.join(lines).encode())
        drawn = fresh_splits("sst2", str(folder), **size)
        assert {e.row["sentence"] for e in drawn.train} <= {row["sentence"] for row in rows}
        assert len(drawn.train) == 20
        path.write_bytes(b"\xef\xbb\xbf" + end.join([*lines, "{}"]).encode())
        assert f"line {30 * max(1, end.count(chr(10))) + 1}: field 'sentence' is missing" in error_of(folder)


def test_a_generator_that_yields_one_dictionary_again_and_again_gives_different_rows(folder, monkeypatch):
    def from_file(raw):
        row = {}
        for half in (0, 1):
            row |= {"sentence": f"{raw['sentence']} {half}", "label": half}
            yield row

    doubling = dataclasses.replace(tasks.load("sst2"), from_file=from_file)
    monkeypatch.setattr(tasks, "load", lambda name: doubling)
    drawn = fresh_splits("sst2", str(folder), train=100, validation=2, test=2, seed=0)
    assert {e.row["label"] for e in drawn.train} == {0, 1}
    assert all(e.row["sentence"].endswith(str(e.row["label"])) for e in drawn.train)
