"""Tests of the splits of one data file: disjoint, deterministic, and independent of the order of the rows."""

import json

import pytest

from benchmarks.config.spec import from_dict
from benchmarks.data.sources import file_pools, file_version
from benchmarks.errors import UserError
from benchmarks.tasks import load
from benchmarks.training import run as train
from tests.benchmarks.data.folders import fresh_splits, keys, reviews, write

SIZE = {"train": 10_000, "validation": 200, "test": 10_000}


def splits_of(path, seed=0, **size):
    return fresh_splits("sst2", str(path), **(SIZE | size), seed=seed)


def test_about_a_fifth_of_the_rows_are_test_rows_and_no_row_is_in_two_splits(tmp_path):
    write(tmp_path / "all.jsonl", reviews(4000))
    parts = splits_of(tmp_path / "all.jsonl")
    train_rows, validation, test = map(keys, (parts.train, parts.validation, parts.test))
    assert len(validation) == 200
    # Four standard deviations of a binomial distribution.
    assert abs(len(test) - 800) < 4 * (4000 * 0.2 * 0.8) ** 0.5
    assert sorted(train_rows + validation + test) == sorted(json.dumps(
        {"label": row["label"], "sentence": row["sentence"].strip()}) for row in reviews(4000))  # fmt: skip
    assert parts.source == "file"


def test_test_rows_depend_on_neither_the_order_nor_the_seed_nor_the_format(tmp_path):
    rows = reviews(600)
    write(tmp_path / "a.jsonl", rows)
    (tmp_path / "b.json").write_text(json.dumps(rows[::-1]))
    lines = [
        "sentence,label,number",
        *(f"{row['sentence']},{row['label']},{i}" for i, row in enumerate(rows)),
    ]
    (tmp_path / "c.csv").write_text("\n".join(lines))
    expected = set(keys(splits_of(tmp_path / "a.jsonl").test))
    for name, seed in (("a.jsonl", 1), ("b.json", 0), ("c.csv", 2)):
        assert set(keys(splits_of(tmp_path / name, seed).test)) == expected
    # Other rows do not move a row.
    write(tmp_path / "more.jsonl", rows + reviews(300, start=9000))
    assert expected <= set(keys(splits_of(tmp_path / "more.jsonl").test))


def test_equal_seeds_draw_equal_rows_and_other_seeds_others(tmp_path):
    write(tmp_path / "all.jsonl", reviews(2000))
    small = {"train": 50, "validation": 20, "test": 30}
    first, again, other = (splits_of(tmp_path / "all.jsonl", seed, **small) for seed in (3, 3, 4))
    assert first == again
    assert first.fingerprint != other.fingerprint
    assert set(keys(first.train)) != set(keys(other.train))


def test_duplicates_never_straddle_splits(tmp_path):
    write(tmp_path / "all.jsonl", reviews(100) * 7)
    parts = splits_of(tmp_path / "all.jsonl")
    sets = [set(keys(part)) for part in (parts.train, parts.validation, parts.test)]
    assert all(sets)
    assert not any(a & b for i, a in enumerate(sets) for b in sets[:i])


@pytest.mark.parametrize("count", [1, 2])
def test_too_few_rows_are_an_error_that_counts_them(tmp_path, count):
    write(tmp_path / "all.jsonl", reviews(count))
    with pytest.raises(UserError, match=rf"all\.jsonl has too few rows: .* of {count} rows .*: add rows"):
        splits_of(tmp_path / "all.jsonl")


def test_a_file_of_equal_rows_is_an_error(tmp_path):
    write(tmp_path / "all.jsonl", reviews(1) * 50)
    with pytest.raises(UserError, match="too few"):
        splits_of(tmp_path / "all.jsonl")


def test_a_run_of_a_file_records_the_kind_of_source_and_not_the_path(tmp_path):
    write(tmp_path / "all.jsonl", reviews(500))
    run = {"method": "sgd", "model": "nano-opt", "task": "sst2", "data": "file", "steps": 1, "lr": 1e-3}
    spec = from_dict(run)
    assert train.load(spec, str(tmp_path / "all.jsonl")).source == "file"
    assert str(tmp_path) not in json.dumps(spec.config())
    with pytest.raises(UserError, match="data=file needs --data FILE"):
        train.load(spec, None)


def test_the_pools_hold_every_row_once(tmp_path):
    write(tmp_path / "all.jsonl", reviews(300))
    training, test = file_pools(file_version(tmp_path / "all.jsonl"), load("sst2"))
    found = [e.key for pool in (training, test) for i in range(pool.size) for e in pool.examples(i)]
    assert len(found) == len(set(found)) == 300


def test_shots_are_drawn_from_the_training_pool(tmp_path):
    write(tmp_path / "all.jsonl", reviews(500))
    parts = splits_of(tmp_path / "all.jsonl", shots=4)
    assert sorted(e.gold for e in parts.train) == [0] * 4 + [1] * 4
    assert not set(keys(parts.train) + keys(parts.validation)) & set(keys(parts.test))
