"""Tests of splits: sizes, disjointness, repeatability, and few-shot draws."""

import dataclasses
import json
import os
from collections import Counter
from pathlib import Path

import pytest

from benchmarks import tasks
from benchmarks.data import hub_rows
from benchmarks.data.splits import data_fingerprint, load_splits
from benchmarks.errors import UserError
from tests.benchmarks.data.folders import error_of, fresh_splits, keys, reviews, write, write_reviews

FIXTURES = json.loads((Path(__file__).parent.parent / "fixtures" / "tasks.json").read_text())
EVERY = sorted(FIXTURES)
REAL = os.environ.get("ADDAX_DATA")


@pytest.fixture
def folder(tmp_path):
    return write_reviews(tmp_path)


@pytest.mark.parametrize("name", EVERY)
def test_builtin_splits_are_disjoint_repeatable_and_independent(name):
    splits = fresh_splits(name, "builtin", train=200, validation=50, test=100, seed=3)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (200, 50, 100)
    assert splits.source == "builtin"
    every = keys(splits.train + splits.validation + splits.test)
    assert len(set(every)) == 350
    assert fresh_splits(name, "builtin", train=200, validation=50, test=100, seed=3) == splits
    fewer = fresh_splits(name, "builtin", train=7, validation=0, test=100, seed=3)
    assert fewer.test == splits.test
    assert fewer.train == splits.train[:7]
    assert fewer.fingerprint != splits.fingerprint
    other = fresh_splits(name, "builtin", train=200, validation=50, test=100, seed=4)
    assert keys(other.train) != keys(splits.train)


def test_builtin_splits_of_different_seeds_do_not_leak_into_each_other():
    trained = [
        fresh_splits("sst2", "builtin", train=2000, validation=0, test=0, seed=s).train for s in (0, 1)
    ]
    tested = fresh_splits("sst2", "builtin", train=0, validation=0, test=2000, seed=0).test
    assert not set(keys(tested)) & set(keys(trained[0] + trained[1]))


def test_a_generator_that_repeats_its_rows_is_rejected(monkeypatch):
    poor = dataclasses.replace(tasks.load("sst2"), generate=lambda rng: {"text": "always", "label": 0})
    monkeypatch.setattr(tasks, "load", lambda name: poor)
    with pytest.raises(UserError, match=r"'poor'.* different train rows, but 5 are needed"):
        fresh_splits("poor", "builtin", train=5, validation=5, test=5, seed=0)


def test_a_folder_is_drawn_by_the_protocol(folder):
    splits = fresh_splits("sst2", str(folder), train=1000, validation=500, test=200, seed=0)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (1000, 500, 200)
    assert splits.source == "folder"
    public = {row["sentence"].strip() for row in reviews(2000)}
    drawn = [e.row["sentence"] for e in splits.train + splits.validation]
    assert set(drawn) <= public
    assert len(set(drawn)) == 1500
    assert all(int(e.row["sentence"].split()[-1]) >= 5000 for e in splits.test)
    assert fresh_splits("sst2", str(folder), train=1000, validation=500, test=200, seed=0) == splits
    assert (
        fresh_splits("sst2", str(folder), train=1000, validation=500, test=200, seed=1).train != splits.train
    )
    # The draw must be neither the first rows of the file nor in the order of the file.
    numbers = [int(s.split()[-1]) for s in drawn]
    assert max(numbers) > 1900
    assert numbers != sorted(numbers)


@pytest.mark.parametrize(
    ("public", "expected"),
    [(1499, (1000, 100)), (1500, (1000, 500)), (554, (454, 100)), (250, (150, 100)), (64, (32, 32))],
)
def test_small_training_splits_keep_their_rows_for_training(tmp_path, public, expected):
    write(tmp_path / "sst2" / "train.jsonl", reviews(public))
    write(tmp_path / "sst2" / "validation.jsonl", reviews(56, start=5000))
    splits = fresh_splits("sst2", str(tmp_path), train=1000, validation=500, test=1000, seed=0)
    assert (len(splits.train), len(splits.validation)) == expected
    assert len(splits.test) == 56


def test_equal_rows_are_never_in_two_splits(tmp_path):
    write(tmp_path / "sst2" / "train.jsonl", reviews(40) * 50)
    write(tmp_path / "sst2" / "validation.jsonl", reviews(10) + reviews(5, start=900))
    splits = fresh_splits("sst2", str(tmp_path), train=1800, validation=20, test=1000, seed=0)
    parts = [set(keys(p)) for p in (splits.train, splits.validation, splits.test)]
    assert all(parts)
    assert not parts[0] & parts[1]
    assert not parts[2] & (parts[0] | parts[1])


def balanced(examples, shots):
    classes = range(len(examples[0].candidates))
    return Counter(e.gold for e in examples) == dict.fromkeys(classes, shots)


@pytest.mark.parametrize("name", ["sst2", "cb", "trec", "rte-cloze"])
@pytest.mark.parametrize(
    "source", ["builtin", pytest.param(REAL, marks=pytest.mark.skipif(not REAL, reason="needs ADDAX_DATA"))]
)
def test_shots_give_equal_numbers_of_rows_per_class_in_two_disjoint_splits(name, source):
    shots = 8
    size = {"train": 1000, "validation": 500, "test": 30}
    splits = fresh_splits(name, source, **size, seed=0, shots=shots)
    assert balanced(splits.train, shots)
    assert balanced(splits.validation, shots)
    every = keys(splits.train + splits.validation + splits.test)
    assert len(set(every)) == len(every)
    assert len(splits.test) == 30
    assert fresh_splits(name, source, **size, seed=0, shots=shots) == splits
    other = fresh_splits(name, source, **size, seed=1, shots=shots)
    assert keys(other.train) != keys(splits.train)
    assert other.fingerprint != splits.fingerprint
    fewer = fresh_splits(name, source, **size, seed=0, shots=2)
    assert balanced(fewer.train, 2)
    # The rows are not sorted by class, so that a prefix of them is a random draw too.
    golds = [e.gold for e in splits.train]
    assert golds != sorted(golds)


def test_shots_from_the_hub_leave_the_test_rows_unchanged(folder, monkeypatch):
    public = [reviews(2000), reviews(300, start=5000)]
    monkeypatch.setattr(hub_rows, "load", lambda hub, revision, known: (public, "a commit"))
    size = {"train": 100, "validation": 50, "test": 40, "seed": 5}
    hub, file = (fresh_splits("sst2", source, **size, shots=16) for source in ("hub", str(folder)))
    assert (hub.train, hub.validation, hub.test) == (file.train, file.validation, file.test)
    assert balanced(hub.train, 16)
    assert hub.test == fresh_splits("sst2", "hub", **size).test


def test_equal_rows_count_as_one_shot(tmp_path):
    write(tmp_path / "sst2" / "train.jsonl", reviews(16) * 20)
    write(tmp_path / "sst2" / "validation.jsonl", reviews(10, start=50))
    splits = fresh_splits("sst2", str(tmp_path), train=1, validation=1, test=5, seed=0, shots=4)
    assert len(set(keys(splits.train + splits.validation))) == 16


def test_a_class_with_too_few_rows_is_named(tmp_path):
    few = [row for row in reviews(100) if row["label"] == 0 or row["sentence"].startswith("film number 1")]
    write(tmp_path / "sst2" / "train.jsonl", few)
    write(tmp_path / "sst2" / "validation.jsonl", reviews(10, start=500))
    size = {"train": 1, "validation": 1, "test": 5, "seed": 0}
    assert len(fresh_splits("sst2", str(tmp_path), **size, shots=3).train) == 6
    with pytest.raises(UserError) as caught:
        fresh_splits("sst2", str(tmp_path), **size, shots=4)
    assert str(caught.value) == (
        "task sst2: only 6 different training rows of class 1 (great), but shots=4 needs 8 per class: "
        "use fewer shots"
    )


def test_a_cloze_task_draws_the_rows_of_its_base_task(folder):
    size = {"train": 20, "validation": 10, "test": 10, "seed": 2}
    for source in ("builtin", str(folder)):
        cloze, base = (fresh_splits(name, source, **size) for name in ("sst2-cloze", "sst2"))
        assert (cloze.train, cloze.validation, cloze.test) == (base.train, base.validation, base.test)
        # The texts differ, and they count as data.
        assert cloze.fingerprint != base.fingerprint
    assert "needs sst2/ with" in error_of(folder / "sst2", "sst2-cloze")


def test_equal_splits_are_drawn_once_per_process():
    size = {"train": 20, "validation": 5, "test": 5, "seed": 11}
    first = fresh_splits("sst2", "builtin", **size)
    assert load_splits("sst2", "builtin", **size) is first
    assert data_fingerprint("sst2", "builtin", **size) == first.fingerprint
    assert load_splits("sst2", "builtin", **size | {"seed": 12}) is not first
