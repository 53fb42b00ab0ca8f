"""Tests of values: a number in a sentence is taken from a cell of a generated table."""

import json

import pytest

from benchmarks import docs
from benchmarks.docs.tables import Tables
from benchmarks.errors import UserError
from tests.benchmarks.results import result_rows

ROWS = [result_rows.row("adam", "sst2"), result_rows.row("sgd", "sst2")]
SENTENCE = "Adam reaches <!-- value:{} -->0<!-- /value --> %.\n"


@pytest.fixture
def tables(tmp_path):
    folder = tmp_path / "results/reference"
    folder.mkdir(parents=True)
    (folder / "demo.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return Tables(tmp_path)


def test_a_value_is_the_cell_of_its_row_and_column(tables):
    text = docs.rebuild(SENTENCE.format("demo:score | Adam | SST-2"), "page.md", tables)
    score = next(row["score"] for row in ROWS if row["label"] == "Adam")
    assert (
        text == f"Adam reaches <!-- value:demo:score | Adam | SST-2 -->{100 * score:.1f}<!-- /value --> %.\n"
    )
    assert docs.rebuild(text, "page.md", tables) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SENTENCE.format("demo:score | Adm | SST-2"), "did you mean 'Adam'"),
        (SENTENCE.format("demo:score | Adam | SST2"), "did you mean 'SST-2'"),
        (SENTENCE.format("demo:score"), r"must have the form TABLE \| ROW \| COLUMN"),
        (SENTENCE.format("demo:scores | Adam | SST-2"), "did you mean 'score'"),
        ("It is <!-- value:demo:score | Adam | SST-2 -->5 %.\n", "never closed; add <!-- /value -->"),
        ("It is\n<!-- value:demo:score | Adam | SST-2 -->5<!-- /value -->\n", "a line begins with"),
    ],
)
def test_a_wrong_value_is_an_error_that_names_the_page(tables, text, message):
    with pytest.raises(UserError, match=message) as error:
        docs.rebuild(text, "page.md", tables)
    assert "page.md" in str(error.value)


def test_a_row_that_several_lines_match_is_an_error(tables, tmp_path):
    rows = [result_rows.row("adam", "sst2", model=model) for model in ("nano-opt", "nano-llama")]
    (tmp_path / "results/reference/demo.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(UserError, match="2 lines of demo:score match"):
        docs.rebuild(SENTENCE.format("demo:score | Adam | SST-2"), "page.md", tables)
