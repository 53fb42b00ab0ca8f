"""Tests of SQuAD's nested JSON, with the unanswerable questions of SQuAD 2."""

import json

import pytest

from benchmarks.data import formats
from benchmarks.errors import UserError
from tests.benchmarks.data.folders import fresh_splits


def question(i, **more):
    return {
        "id": f"q{i}",
        "question": f" What is {i}? ",
        "answers": [{"text": f"number {i}", "answer_start": 4}, {"text": str(i), "answer_start": 11}],
    } | more


def articles(count, impossible=0):
    """Return a document with two paragraphs per article; the last questions are impossible."""
    found = [question(i) for i in range(count)]
    for qa in found[count - impossible :]:
        qa |= {"answers": [], "plausible_answers": qa["answers"], "is_impossible": True}
    return {
        "version": "v2.0" if impossible else "1.1",
        "data": [
            {
                "title": f"Article_{a}",
                "paragraphs": [
                    {"context": f"paragraph {a} {p}", "qas": found[4 * a + 2 * p : 4 * a + 2 * p + 2]}
                    for p in range(2)
                ],
            }
            for a in range((count + 3) // 4)
        ],
    }


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("version_last", [False, True])
def test_a_question_becomes_a_flat_row_of_the_hub(tmp_path, indent, version_last):
    document = articles(8)
    document = dict(reversed(document.items())) if version_last else document
    (tmp_path / "dev.json").write_text("\ufeff" + json.dumps(document, indent=indent), encoding="utf-8")
    found = list(formats.rows(tmp_path / "dev.json"))
    assert len(found) == 8
    place, row = found[5]
    assert place.startswith("line ")
    assert place.endswith(", question q5")
    assert row == {
        "id": "q5",
        "title": "Article_1",
        "context": "paragraph 1 0",
        "question": " What is 5? ",
        "answers": {"text": ["number 5", "5"]},
    }


def test_impossible_questions_are_skipped_and_counted(tmp_path):
    folder = tmp_path / "squad"
    folder.mkdir()
    (folder / "train.json").write_text(json.dumps(articles(40, impossible=7)))
    (folder / "validation.json").write_text(json.dumps(articles(12, impossible=3)).replace("What", "Who"))
    parts = fresh_splits("squad", str(tmp_path), train=99, validation=5, test=99, seed=0)
    assert parts.skipped == 10
    assert len(parts.train) + len(parts.validation) == 33
    assert {e.row["question"] for e in parts.test} == {f"Who is {i}?" for i in range(9)}
    assert parts.test[0].row["answers"][0].startswith("number ")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda d: d["data"][1]["paragraphs"][0].pop("qas"),
            "paragraph 1 of 'Article_1': field 'qas' is missing",
        ),
        (lambda d: d["data"][1].update(paragraphs={}), "line 1: field 'paragraphs' must be list"),
        (
            lambda d: d["data"][1]["paragraphs"].insert(0, "x"),
            "paragraph 1 of 'Article_1': expected an object",
        ),
        (lambda d: d["data"][1]["paragraphs"][1]["qas"][0].pop("question"), "question q6: field 'question'"),
        (lambda d: d["data"][1]["paragraphs"][1]["qas"][0].pop("answers"), "question q6: field 'answers' is"),
        (
            lambda d: d["data"][0]["paragraphs"][0]["qas"][0].update(answers=["x"]),
            "question q0: expected an obj",
        ),
    ],
)
def test_a_malformed_question_is_named(tmp_path, change, message):
    document = articles(8)
    change(document)
    path = tmp_path / "dev.json"
    path.write_text(json.dumps(document))
    with pytest.raises(UserError) as caught:
        list(formats.rows(path))
    assert str(caught.value).startswith(f"{path}, line 1")
    assert message in str(caught.value)


def test_an_empty_list_of_answers_without_the_mark_is_an_error_with_the_remedy(tmp_path):
    (tmp_path / "all.json").write_text(json.dumps({"data": [
        {"title": "T", "paragraphs": [{"context": "c", "qas": [question(1, answers=[])]}]}
    ]}))  # fmt: skip
    with pytest.raises(UserError, match=r"question q1: field 'answers'.*leave out unanswered questions"):
        fresh_splits("squad", str(tmp_path / "all.json"), train=1, validation=1, test=1, seed=0)
