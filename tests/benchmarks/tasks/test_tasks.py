"""Tests of every task file: the contract, prompts and answers against fixtures, and malformed rows."""

import re
from dataclasses import replace

import pytest

from benchmarks import registry, tasks
from benchmarks.data.example import checked_file_examples
from benchmarks.data.values import TaskError
from tests.benchmarks.tasks.task_rows import CANDIDATES, FIXTURES, right_answer


@pytest.mark.parametrize("name", sorted(registry.files("task")))
def test_every_task_file_follows_the_contract(name):
    task = tasks.load(name)
    assert task.title
    assert task.version >= 1
    assert task.generator_version >= 1
    assert task.loss == "classification" or task.answer is not None
    with pytest.raises(ValueError, match=r"^field '") as caught:
        checked_file_examples(task, {})
    assert not isinstance(caught.value, TaskError)


@pytest.mark.parametrize("name", sorted(FIXTURES))
@pytest.mark.parametrize("form", ["hub", "file"])
def test_prompts_and_answers_equal_the_recorded_ones(name, form):
    task, expected = tasks.load(name), FIXTURES[name]
    convert = task.from_hub if form == "hub" else task.from_file
    rows = [row for raw in expected[form] for row in convert(raw)]
    assert [task.prompt(r) for r in rows] == expected["prompts"]
    assert [task.cloze(r, "<mask>") for r in rows if task.cloze] == expected.get("clozes", [])
    assert [right_answer(task, r) for r in rows] == expected["right"]
    wanted = expected.get("candidates", [CANDIDATES.get(name)] * len(rows))
    assert [task.candidates(r) for r in rows] == wanted
    if "gold" in expected:
        assert [task.gold(r) for r in rows] == expected["gold"]


@pytest.mark.parametrize(
    ("name", "form", "change", "message"),
    [
        ("sst2", "hub", {"label": -1}, "label"),
        ("sst2", "hub", {"sentence": " "}, "sentence"),
        ("rte", "file", {"label": "maybe"}, "entailment"),
        ("rte", "file", {"label": 0}, "label"),
        ("cb", "hub", {"label": 3}, "label"),
        ("boolq", "file", {"label": 1}, "label"),
        ("boolq", "hub", {"label": True}, "label"),
        ("wsc", "file", {"target": None}, "target"),
        ("wic", "hub", {"word": 7}, "word"),
        ("multirc", "file", {"passage": {"text": "x"}}, "questions"),
        ("record", "hub", {"query": "no place"}, "@placeholder"),
        ("record", "hub", {"answers": ["Bodo"]}, "Bodo"),
        ("squad", "hub", {"answers": {"text": []}}, "answers"),
        ("copa", "hub", {"question": "because"}, "field 'question' must be cause or effect, not 'because'"),
        ("copa", "file", {"choice2": ""}, "choice2"),
        ("copa", "hub", {"label": -1}, "label"),
        ("drop", "hub", {"answers_spans": {"spans": []}}, "field 'answers' must contain at least one span"),
        ("drop", "file", {"answers": ["Ida"]}, "a list of answers, each of which is a list of spans"),
        ("drop", "file", {"answers": [["Ida"], [" "]]}, "no empty span"),
        ("sst5", "file", {"label": 5}, "label"),
        ("trec", "hub", {"coarse_label": 6}, "coarse_label"),
        ("trec", "file", {"label": -1}, "label"),
        ("snli", "hub", {"label": 3}, "label"),
        ("mnli", "file", {"label": "entailment"}, "label"),
        ("qnli", "hub", {"question": ""}, "question"),
        ("mrpc", "file", {"sentence2": None}, "sentence2"),
        ("gsm8k", "hub", {"answer": "It is 5."}, "####"),
    ],
)
def test_the_error_for_a_malformed_row_names_its_field(name, form, change, message):
    task, raw = tasks.load(name), FIXTURES[name][form][0] | change
    with pytest.raises(ValueError, match=re.escape(message)):
        list((task.from_hub if form == "hub" else task.from_file)(raw))


def test_built_in_rows_have_the_generator_version_of_the_task_that_provides_them(monkeypatch):
    sst2, cloze = tasks.load("sst2"), tasks.load("sst2-cloze")
    newer = {"sst2": replace(sst2, generator_version=7)}
    monkeypatch.setattr(tasks, "load", lambda name: newer[name])
    for task in (newer["sst2"], cloze):
        assert tasks.versions(task, "builtin") == {"task_version": task.version, "generator_version": 7}
        assert tasks.versions(task, "folder") == {"task_version": task.version}


def test_record_skips_rows_without_entities():
    raw = FIXTURES["record"]["file"][0]
    assert tasks.load("record").from_file(raw | {"passage": raw["passage"] | {"entities": []}}) == []


@pytest.mark.parametrize(("name", "of"), [("sst2-cloze", "sst2"), ("rte-cloze", "rte")])
def test_a_cloze_task_differs_from_its_original_only_in_the_prompt(name, of):
    task, other = tasks.load(name), tasks.load(of)
    rows = [row for raw in FIXTURES[of]["hub"] for row in task.from_hub(raw)]
    wanted = {
        "sst2": [
            "a warm and funny film It was <mask>.",
            "it drags from the first minute . It was <mask>.",
        ],
        "rte": [
            "The bridge was opened by the queen in May. ? <mask> , The queen opened the bridge.",
            "The bridge was opened by the queen in May. ? <mask> , The bridge was closed in May.",
        ],
    }[of]
    assert [task.cloze(row, "<mask>") for row in rows] == wanted
    assert other.cloze is None
    assert (task.title, task.rows_of) == (other.title, of)
    assert [task.prompt(row) for row in rows] == [other.prompt(row) for row in rows]
    assert [right_answer(task, row) for row in rows] == FIXTURES[of]["right"]
