"""Data: sizes, disjointness, repeatability, and what a bad folder is told."""

import dataclasses
import gzip
import json
import os
import re
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import registry, tasks
from benchmarks.data import splits as data
from benchmarks.errors import UserError
from benchmarks.tasks import _text

FIXTURES = json.loads((Path(__file__).parent.parent / "fixtures" / "tasks.json").read_text())
EVERY = sorted(FIXTURES)
REAL = os.environ.get("ADDAX_DATA")


def keys(rows):
    return [json.dumps(row, sort_keys=True) for row in rows]


def reviews(count, start=0):
    return [{"sentence": f"film number {i} ", "label": i % 2} for i in range(start, start + count)]


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, encoding="utf-8")


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "sst2" / "train.jsonl", reviews(2000))
    write(tmp_path / "sst2" / "validation.jsonl.gz", reviews(300, start=5000))
    return tmp_path


@pytest.mark.parametrize("name", EVERY)
def test_builtin_splits_are_disjoint_repeatable_and_independent(name):
    splits = data.load_splits(name, "builtin", train=200, validation=50, test=100, seed=3)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (200, 50, 100)
    assert splits.source == "builtin"
    every = keys(splits.train + splits.validation + splits.test)
    assert len(set(every)) == 350
    assert data.load_splits(name, "builtin", train=200, validation=50, test=100, seed=3) == splits
    fewer = data.load_splits(name, "builtin", train=7, validation=0, test=100, seed=3)
    assert fewer.test == splits.test
    assert fewer.train == splits.train[:7]
    assert fewer.fingerprint != splits.fingerprint
    other = data.load_splits(name, "builtin", train=200, validation=50, test=100, seed=4)
    assert keys(other.train) != keys(splits.train)


def test_builtin_splits_of_different_seeds_do_not_leak_into_each_other():
    trained = [
        data.load_splits("sst2", "builtin", train=2000, validation=0, test=0, seed=s).train for s in (0, 1)
    ]
    tested = data.load_splits("sst2", "builtin", train=0, validation=0, test=2000, seed=0).test
    assert not set(keys(tested)) & set(keys(trained[0] + trained[1]))


def test_a_generator_that_repeats_itself_is_refused(monkeypatch):
    poor = SimpleNamespace(rows_of=None, generate=lambda rng: {"text": "always", "label": 0})
    monkeypatch.setattr(tasks, "load", lambda name: poor)
    with pytest.raises(UserError, match=r"'poor'.* different train rows of the 5 wanted"):
        data.load_splits("poor", "builtin", train=5, validation=5, test=5, seed=0)


def test_folder_is_drawn_as_the_protocol_says(folder):
    splits = data.load_splits("sst2", str(folder), train=1000, validation=500, test=200, seed=0)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (1000, 500, 200)
    assert splits.source == "folder"
    public = {row["sentence"].strip() for row in reviews(2000)}
    drawn = [row["sentence"] for row in splits.train + splits.validation]
    assert set(drawn) <= public
    assert len(set(drawn)) == 1500
    assert all(int(row["sentence"].split()[-1]) >= 5000 for row in splits.test)
    assert data.load_splits("sst2", str(folder), train=1000, validation=500, test=200, seed=0) == splits
    assert (
        data.load_splits("sst2", str(folder), train=1000, validation=500, test=200, seed=1).train
        != splits.train
    )
    # Not the head of the file, and not in its order.
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
    splits = data.load_splits("sst2", str(tmp_path), train=1000, validation=500, test=1000, seed=0)
    assert (len(splits.train), len(splits.validation)) == expected
    assert len(splits.test) == 56


def test_rows_alike_never_stand_on_both_sides(tmp_path):
    write(tmp_path / "sst2" / "train.jsonl", reviews(40) * 50)
    write(tmp_path / "sst2" / "validation.jsonl", reviews(10) + reviews(5, start=900))
    splits = data.load_splits("sst2", str(tmp_path), train=1800, validation=20, test=1000, seed=0)
    parts = [set(keys(p)) for p in (splits.train, splits.validation, splits.test)]
    assert all(parts)
    assert not parts[0] & parts[1]
    assert not parts[2] & (parts[0] | parts[1])


@pytest.mark.parametrize("name", EVERY)
def test_hub_rows_and_file_rows_give_the_same_splits(name, tmp_path, monkeypatch):
    raw, asked = FIXTURES[name], []

    def load_dataset(dataset, config, split):
        asked.append((dataset, config, split))
        # A row without a gold label is skipped, but takes part in the draw.
        return [row for row in raw["hub"] if row.get("label") != -1]

    import datasets

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    for split in ("train", "validation"):
        write(tmp_path / name / f"{split}.jsonl", raw["file"])
    # Both public splits are the same few rows here, of which training leaves none to test.
    size = {"train": 2, "validation": len(raw["file"]) // 2, "test": 0, "seed": 1}
    hub, file = (data.load_splits(name, source, **size) for source in ("hub", str(tmp_path)))
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
    }.get(name, ("nyu-mll/glue" if name in ("mnli", "qnli", "cola") else "aps/super_glue", name))
    held_out = {"mnli": "validation_matched", "trec": "test", "gsm8k": "test"}.get(name, "validation")
    assert asked == [(*where, "train"), (*where, held_out)]


def test_an_unreachable_hub_is_one_line_that_names_the_way_out(monkeypatch):
    import datasets

    def load_dataset(*args, **kwargs):
        raise ConnectionError("no route\nand a long story")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(UserError, match=r"nyu-mll/glue.*no route.*--data builtin or --data DIR") as caught:
        data.load_splits("sst2", "hub", train=1, validation=1, test=1, seed=0)
    assert "\n" not in str(caught.value)


def refused(folder, name="sst2"):
    with pytest.raises(UserError) as caught:
        data.load_splits(name, str(folder), train=10, validation=5, test=5, seed=0)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_missing_folder_task_or_file_is_named(folder):
    assert str(folder / "nowhere") in refused(folder / "nowhere")
    (folder / "sst2").rename(folder / "sst-2")
    said = refused(folder)
    assert "'sst2'" in said
    assert "did you mean 'sst-2'?" in said
    (folder / "sst-2").rename(folder / "sst2")
    (folder / "sst2" / "validation.jsonl.gz").unlink()
    assert "validation.jsonl or validation.jsonl.gz" in refused(folder)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"sentence": "x", "label": 1', "not JSON"),
        ('{"sentence": "x"}', "field 'label' is missing"),
        ('{"sentence": "x", "label": 2}', "0 to 1"),
        ('{"sentence": "", "label": 1}', "field 'sentence' is empty"),
        ("[1, 2]", "expected an object"),
    ],
)
def test_a_malformed_line_is_named_with_file_and_number(folder, line, said):
    path = folder / "sst2" / "train.jsonl"
    lines = path.read_text().splitlines()
    lines[6] = line
    path.write_text("\n".join(lines))
    message = refused(folder)
    assert f"{path}, line 7: " in message
    assert said in message


def test_a_damaged_file_is_named(folder):
    path = folder / "sst2" / "validation.jsonl.gz"
    path.write_bytes(path.read_bytes()[:-20])
    assert str(path) in refused(folder)
    path.write_text("no archive")
    assert str(path) in refused(folder)


@pytest.mark.skipif(not REAL, reason="needs ADDAX_DATA")
@pytest.mark.parametrize("name", EVERY)
def test_real_files_load(name):
    splits = data.load_splits(name, REAL, train=1000, validation=500, test=1000, seed=0)
    task = tasks.load(name)
    held = {"cb": 100, "wsc": 100, "record": 32}.get(name, 500)
    assert len(splits.validation) == held
    published = {"sst2": 872, "rte": 277, "cb": 56, "wsc": 104, "wic": 638, "record": 123, "trec": 500}.get(
        name, 1000
    )
    assert len(splits.test) == published
    assert not set(keys(splits.train)) & set(keys(splits.validation + splits.test))
    for row in splits.test:
        assert task.prompt(row)
        gold = task.gold(row)
        assert task.candidates(row) or gold
        if name == "record":
            assert all(task.candidates(row)[i].startswith(" ") for i in gold)
            assert "@placeholder" not in task.candidates(row)[gold[0]]


def words(text):
    return set(re.findall(r"\w+", text.lower()))


def overlap(a, b):
    """Share of the words of the one text that the other has too."""
    return len(words(a) & words(b)) / len(words(a))


def by_answer(name, feature):
    """Mean of a feature of real training rows, by the text of their right candidate."""
    task, found = tasks.load(name), {}
    for row in data.load_splits(name, REAL, train=3000, validation=1, test=1, seed=0).train:
        found.setdefault(task.candidates(row)[task.gold(row)].strip(), []).append(feature(row))
    return {word: sum(values) / len(values) for word, values in found.items()}


@pytest.mark.skipif(not REAL, reason="needs ADDAX_DATA")
@pytest.mark.parametrize("name", ["snli", "mnli"])
def test_real_hypotheses_repeat_what_they_follow_from_and_deny_what_they_contradict(name):
    shared = by_answer(name, lambda row: overlap(row["hypothesis"], row["premise"]))
    assert max(shared, key=shared.get) == "Yes"
    denied = by_answer(
        name, lambda row: bool(words(row["hypothesis"]) & {"not", "no", "never", "nobody", "asleep"})
    )
    assert max(denied, key=denied.get) == "No"
    assert denied["Maybe"] < denied["No"] / 2


@pytest.mark.skipif(not REAL, reason="needs ADDAX_DATA")
def test_real_labels_mean_what_their_words_say():
    shared = by_answer("qnli", lambda row: overlap(row["question"], row["sentence"]))
    assert shared["Yes"] > shared["No"] + 0.1
    praise = {"best", "masterpiece", "brilliant", "wonderful"}
    blame = {"worst", "dull", "bad", "awful"}
    mood = by_answer(
        "sst5", lambda row: bool(words(row["sentence"]) & praise) - bool(words(row["sentence"]) & blame)
    )
    assert sorted(mood, key=mood.get) == ["terrible", "bad", "okay", "good", "great"]
    # Seven sentences in ten are acceptable.
    task = tasks.load("cola")
    rows = data.load_splits("cola", REAL, train=3000, validation=1, test=1, seed=0).train
    assert 0.6 < sum(task.candidates(row)[row["label"]] == "Yes" for row in rows) / 3000 < 0.8
    for begins, word in (
        ("who", "Human"),
        ("where", "Location"),
        ("how many", "Number"),
        ("why", "Description"),
    ):
        asked = by_answer("trec", lambda row, begins=begins: row["text"].lower().startswith(begins))
        assert max(asked, key=asked.get) == word
    spelt = by_answer("trec", lambda row: bool(words(row["text"]) & {"stand", "stands", "acronym"}))
    assert max(spelt, key=spelt.get) == "Expression"


@pytest.mark.skipif(not REAL, reason="needs ADDAX_DATA")
def test_the_files_of_trec_name_the_labels_that_the_hub_numbers_otherwise():
    task = registry.module("task", "trec")
    with gzip.open(Path(REAL) / "trec" / "train.jsonl.gz", "rt", encoding="utf-8") as lines:
        raw = [json.loads(line) for line in lines]
    assert {r["label_name"] for r in raw} == set(task.LABELS)
    # The names of the hub's classes, in its order.
    numbers = ["ABBR", "ENTY", "DESC", "HUM", "LOC", "NUM"]
    for r in raw:
        (row,) = task.TASK.from_file(r)
        assert task.LABELS[row["label"]] == r["label_name"]
        assert task.from_hub({"text": r["text"], "coarse_label": numbers.index(r["label_name"])}) == [row]


@pytest.mark.skipif(not REAL, reason="needs ADDAX_DATA")
def test_real_solutions_end_in_the_result_of_their_last_calculation():
    task, same, total = tasks.load("gsm8k"), 0, 0
    with gzip.open(Path(REAL) / "gsm8k" / "validation.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            raw = json.loads(line)
            (row,) = task.from_file(raw)
            assert not re.search(r"<<|>>|\n", task.answer(row)[:-1])
            assert _text.same_number(task.answer(row), task.gold(row))
            results = re.findall(r"=([-\d.]+)>>", raw["answer"])
            same += bool(results) and _text.same_number(f"#### {results[-1]}", task.gold(row))
            total += 1
    assert same / total > 0.9


def balanced(rows, task, shots):
    return Counter(map(task.gold, rows)) == dict.fromkeys(range(len(task.candidates(rows[0]))), shots)


@pytest.mark.parametrize("name", ["sst2", "cb", "trec", "rte-cloze"])
@pytest.mark.parametrize(
    "source", ["builtin", pytest.param(REAL, marks=pytest.mark.skipif(not REAL, reason="needs ADDAX_DATA"))]
)
def test_shots_are_so_many_of_each_class_in_two_splits_without_a_row_in_common(name, source):
    task, shots = tasks.load(name), 8
    size = {"train": 1000, "validation": 500, "test": 30}
    splits = data.load_splits(name, source, **size, seed=0, shots=shots)
    assert balanced(splits.train, task, shots)
    assert balanced(splits.validation, task, shots)
    every = keys(splits.train + splits.validation + splits.test)
    assert len(set(every)) == len(every)
    assert len(splits.test) == 30
    assert data.load_splits(name, source, **size, seed=0, shots=shots) == splits
    other = data.load_splits(name, source, **size, seed=1, shots=shots)
    assert keys(other.train) != keys(splits.train)
    assert other.fingerprint != splits.fingerprint
    fewer = data.load_splits(name, source, **size, seed=0, shots=2)
    assert balanced(fewer.train, task, 2)
    # No class comes before another: a prefix of the rows is a draw too.
    golds = [task.gold(row) for row in splits.train]
    assert golds != sorted(golds)


def test_shots_come_from_the_hub_too_and_leave_the_test_rows_as_they_are(folder, monkeypatch):
    import datasets

    public = {"train": reviews(2000), "validation": reviews(300, start=5000)}
    monkeypatch.setattr(datasets, "load_dataset", lambda dataset, config, split: public[split])
    size = {"train": 100, "validation": 50, "test": 40, "seed": 5}
    hub, file = (data.load_splits("sst2", source, **size, shots=16) for source in ("hub", str(folder)))
    assert (hub.train, hub.validation, hub.test) == (file.train, file.validation, file.test)
    assert balanced(hub.train, tasks.load("sst2"), 16)
    assert hub.test == data.load_splits("sst2", "hub", **size).test


def test_rows_alike_are_one_shot(tmp_path):
    write(tmp_path / "sst2" / "train.jsonl", reviews(16) * 20)
    write(tmp_path / "sst2" / "validation.jsonl", reviews(10, start=50))
    splits = data.load_splits("sst2", str(tmp_path), train=1, validation=1, test=5, seed=0, shots=4)
    assert len(set(keys(splits.train + splits.validation))) == 16


def test_a_class_with_too_few_rows_is_named(tmp_path):
    few = [row for row in reviews(100) if row["label"] == 0 or row["sentence"].startswith("film number 1")]
    write(tmp_path / "sst2" / "train.jsonl", few)
    write(tmp_path / "sst2" / "validation.jsonl", reviews(10, start=500))
    size = {"train": 1, "validation": 1, "test": 5, "seed": 0}
    assert len(data.load_splits("sst2", str(tmp_path), **size, shots=3).train) == 6
    with pytest.raises(UserError) as caught:
        data.load_splits("sst2", str(tmp_path), **size, shots=4)
    assert str(caught.value) == (
        "task sst2: 6 different training rows of class 1 (great), and shots=4 needs 8 of each class: "
        "ask for fewer shots"
    )


def test_a_cloze_task_has_the_rows_of_the_other_one(folder):
    size = {"train": 20, "validation": 10, "test": 10, "seed": 2}
    for source in ("builtin", str(folder)):
        assert data.load_splits("sst2-cloze", source, **size) == data.load_splits("sst2", source, **size)
    assert "'sst2'" in refused(folder / "sst2", "sst2-cloze")


def test_a_cloze_that_cannot_use_a_row_names_the_line(folder, monkeypatch):
    wrong = dataclasses.replace(tasks.load("sst2"), cloze=lambda row, mask: row["text"] + mask)
    monkeypatch.setattr(tasks, "load", lambda name: wrong)
    assert "train.jsonl, line 1: the task cannot use this row (KeyError: 'text')" in refused(folder)
