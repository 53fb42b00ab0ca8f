"""The schema of rows: what is read is what was written, and everything else is refused in one line."""

import json

import pytest

from benchmarks.errors import UserError
from benchmarks.registry import ROOT
from benchmarks.results import row as rows
from tests.benchmarks.results import result_rows as made


def changed(path, value):
    """A row with one field changed, by its path."""
    row = made.row()
    *parents, last = path.split(".")
    place = row
    for name in parents:
        place = place[name]
    if value is KeyError:
        del place[last]
    else:
        place[last] = value
    return json.dumps(row)


def refused(text, *said):
    with pytest.raises(UserError) as caught:
        rows.parse(text, "row.json")
    message = str(caught.value)
    assert message.startswith("row.json: ")
    assert "\n" not in message
    assert [part for part in said if part not in message] == []


@pytest.mark.parametrize("path", rows.REQUIRED)
def test_a_missing_field_is_named(path):
    refused(changed(path, KeyError), "config" if path == "config" else f"no {path}")


@pytest.mark.parametrize("path", rows.REQUIRED)
def test_a_field_of_another_type_is_named(path):
    refused(changed(path, 1.5), "not a result row", f"{path} should be")


@pytest.mark.parametrize("path", ["score", "peak_bytes", "test.loss", "config.steps", "config.settings.lr"])
def test_a_number_that_is_a_word_or_a_truth_is_named(path):
    for value in ("high", True):
        refused(changed(path, value), f"{path} should be a number", repr(value))


@pytest.mark.parametrize("path", rows.OPTIONAL)
def test_a_field_that_may_be_missing_may_be_null(path):
    if "." in path or path in made.row():
        rows.parse(changed(path, None), "row.json")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"config": ', "not JSON"),
        ("", "not JSON"),
        ("[]", "not a result row (an object with a 'config' or a 'study')"),
        ('{"loss": 1}', "not a result row"),
        (changed("curve", [3]), "each entry of curve should be an object with a step"),
    ],
)
def test_a_text_that_is_no_row_is_refused(text, said):
    refused(text, said, "remove it or run it again")


@pytest.mark.parametrize("text", [changed("schema", KeyError), changed("schema", 1), '{"benchmark": "x"}'])
def test_a_row_of_an_earlier_schema_names_the_conversion(text):
    refused(text, "written before schema 2", "python scripts/migrate_rows.py FILE")


def test_a_row_that_was_edited_is_refused(tmp_path):
    path = tmp_path / "row.json"
    rows.write(path, made.row())
    path.write_text(path.read_text().replace('"label": "Addax"', '"label": "Adam"'))
    with pytest.raises(UserError, match=r"row\.json: changed after it was written; remove it"):
        rows.read(path)


def test_a_row_comes_back_as_written(tmp_path):
    row = made.row() | {"score": 0.1 + 0.2}
    rows.write(tmp_path / "row.json", row)
    assert rows.read(tmp_path / "row.json") == [row | {"checksum": rows.checksum(row)}]


def test_lines_come_back_as_written(tmp_path):
    written = [made.row("adam"), *made.precision()[:2]]
    rows.write_lines(tmp_path / "rows.jsonl", written)
    assert rows.read(tmp_path / "rows.jsonl") == written


def test_a_line_that_is_no_row_is_named(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(rows.dump(made.row()) + "\n\n" + '{"config": \n')
    with pytest.raises(UserError, match=r"rows\.jsonl:3: not JSON"):
        rows.read(path)


@pytest.mark.parametrize("file", sorted((ROOT / "results/reference").glob("*.jsonl")), ids=lambda f: f.stem)
def test_committed_rows_have_the_schema(file):
    assert rows.read(file)
