"""Tests of real data in the folder ADDAX_DATA: split sizes, and labels that match their candidates."""

import gzip
import json
import os
import re
from pathlib import Path

import pytest

from benchmarks import registry, tasks
from benchmarks.evaluation.metrics import exact_match
from tests.benchmarks.data.folders import fresh_splits, keys

FIXTURES = json.loads((Path(__file__).parent.parent / "fixtures" / "tasks.json").read_text())
# The folder has no training rows of DROP, and none of MRPC.
EVERY = sorted(FIXTURES.keys() - {"drop", "mrpc"})
REAL = os.environ.get("ADDAX_DATA")


@pytest.mark.skipif(not REAL, reason="needs ADDAX_DATA")
@pytest.mark.parametrize("name", EVERY)
def test_real_files_load(name):
    splits = fresh_splits(name, REAL, train=1000, validation=500, test=1000, seed=0)
    expected = {"cb": 100, "wsc": 100, "copa": 100, "record": 32}.get(name, 500)
    assert len(splits.validation) == expected
    published = {"sst2": 872, "rte": 277, "cb": 56, "wsc": 104, "wic": 638, "record": 123, "trec": 500}
    published = (published | {"copa": 100}).get(name, 1000)
    assert len(splits.test) == published
    assert not set(keys(splits.train)) & set(keys(splits.validation + splits.test))
    for example in splits.test:
        assert example.prompt
        assert example.candidates or example.gold
        if name == "record":
            assert all(example.candidates[i].startswith(" ") for i in example.gold)
            assert "@placeholder" not in example.candidates[example.gold[0]]


def words(text):
    return set(re.findall(r"\w+", text.lower()))


def overlap(a, b):
    """Return the fraction of the words of `a` that also occur in `b`."""
    return len(words(a) & words(b)) / len(words(a))


def by_answer(name, feature):
    """Return the mean of a feature over real training rows, by the text of the correct candidate."""
    found = {}
    for example in fresh_splits(name, REAL, train=3000, validation=1, test=1, seed=0).train:
        found.setdefault(example.candidates[example.gold].strip(), []).append(feature(example.row))
    return {word: sum(values) / len(values) for word, values in found.items()}


@pytest.mark.skipif(not REAL, reason="needs ADDAX_DATA")
@pytest.mark.parametrize("name", ["snli", "mnli"])
def test_real_nli_labels_match_their_candidates(name):
    shared = by_answer(name, lambda row: overlap(row["hypothesis"], row["premise"]))
    assert max(shared, key=shared.get) == "Yes"
    denied = by_answer(
        name, lambda row: bool(words(row["hypothesis"]) & {"not", "no", "never", "nobody", "asleep"})
    )
    assert max(denied, key=denied.get) == "No"
    assert denied["Maybe"] < denied["No"] / 2


@pytest.mark.skipif(not REAL, reason="needs ADDAX_DATA")
def test_real_labels_match_their_candidates():
    shared = by_answer("qnli", lambda row: overlap(row["question"], row["sentence"]))
    assert shared["Yes"] > shared["No"] + 0.1
    praise = {"best", "masterpiece", "brilliant", "wonderful"}
    blame = {"worst", "dull", "bad", "awful"}
    mood = by_answer(
        "sst5", lambda row: bool(words(row["sentence"]) & praise) - bool(words(row["sentence"]) & blame)
    )
    assert sorted(mood, key=mood.get) == ["terrible", "bad", "okay", "good", "great"]
    # About 70 % of the sentences are acceptable.
    examples = fresh_splits("cola", REAL, train=3000, validation=1, test=1, seed=0).train
    assert 0.6 < sum(e.candidates[e.gold] == "Yes" for e in examples) / 3000 < 0.8
    for begins, word in (
        ("who", "Human"),
        ("where", "Location"),
        ("how many", "Number"),
        ("why", "Description"),
    ):
        shares = by_answer("trec", lambda row, begins=begins: row["text"].lower().startswith(begins))
        assert max(shares, key=shares.get) == word
    expansions = by_answer("trec", lambda row: bool(words(row["text"]) & {"stand", "stands", "acronym"}))
    assert max(expansions, key=expansions.get) == "Expression"


@pytest.mark.skipif(not REAL, reason="needs ADDAX_DATA")
def test_trec_label_names_in_files_match_the_labels_of_the_hub():
    task = registry.module("task", "trec")
    with gzip.open(Path(REAL) / "trec" / "train.jsonl.gz", "rt", encoding="utf-8") as lines:
        raw = [json.loads(line) for line in lines]
    assert {r["label_name"] for r in raw} == set(task.LABELS)
    # The class names of the hub, in the hub's order.
    numbers = ["ABBR", "ENTY", "DESC", "HUM", "LOC", "NUM"]
    for r in raw:
        (row,) = task.TASK.from_file(r)
        assert task.LABELS[row["label"]] == r["label_name"]
        assert task.from_hub({"text": r["text"], "coarse_label": numbers.index(r["label_name"])}) == [row]


@pytest.mark.skipif(not REAL, reason="needs ADDAX_DATA")
def test_real_gsm8k_solutions_end_in_their_last_calculation():
    task, same, total = tasks.load("gsm8k"), 0, 0
    with gzip.open(Path(REAL) / "gsm8k" / "validation.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            raw = json.loads(line)
            (row,) = task.from_file(raw)
            assert not re.search(r"<<|>>|\n", task.answer(row)[:-1])
            assert exact_match(task.answer(row), task.gold(row))
            results = re.findall(r"=([-\d.]+)>>", raw["answer"])
            same += bool(results) and exact_match(f"#### {results[-1]}", task.gold(row))
            total += 1
    assert same / total > 0.9


@pytest.mark.skipif(not REAL, reason="needs ADDAX_DATA")
def test_real_copa_choices_continue_their_premise():
    for example in fresh_splits("copa", REAL, train=300, validation=100, test=100, seed=0).train:
        assert re.search(r"[^.\s] (so|because)$", example.prompt)
        for text in example.candidates:
            assert re.fullmatch(r" (I|[^A-Z\s]+) .*\.", text)


@pytest.mark.skipif(not REAL, reason="needs ADDAX_DATA")
def test_real_drop_rows_have_short_answers_from_their_passages():
    task, found = tasks.load("drop"), 0
    with gzip.open(Path(REAL) / "drop" / "validation.jsonl.gz", "rt", encoding="utf-8") as lines:
        raw = [json.loads(line) for line in lines]
    assert len(raw) == 1000
    for line in raw:
        (row,) = task.from_file(line)
        assert task.gold(row)
        assert task.answer(row).endswith("\n")
        found += any(span.lower() in (row["passage"] + row["question"]).lower() for span in task.gold(row))
    # The other answers are counts and differences.
    assert 0.4 < found / 1000 < 0.9
