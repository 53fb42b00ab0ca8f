"""Tests of the row schema: rows are read back as written, and invalid ones give a one-line error."""

import json

import pytest

from benchmarks.errors import UserError
from benchmarks.registry import ROOT
from benchmarks.results import row as rows
from tests.benchmarks.results import result_rows as made


def changed(path, value):
    """Return a row as JSON after setting the field at a path, or deleting it for `KeyError`."""
    row = made.row()
    *parents, last = path.split(".")
    parent = row
    for name in parents:
        parent = parent.setdefault(name, {})
    if value is KeyError:
        del parent[last]
    else:
        parent[last] = value
    return json.dumps(row)


def assert_rejected(text, *parts):
    """Assert that parsing raises a one-line error with these parts."""
    with pytest.raises(UserError) as caught:
        rows.parse(text, "row.json")
    message = str(caught.value)
    assert message.startswith("row.json: ")
    assert "\n" not in message
    assert [part for part in parts if part not in message] == []


@pytest.mark.parametrize("path", rows.REQUIRED)
def test_a_missing_field_is_named(path):
    assert_rejected(changed(path, KeyError), "config" if path == "config" else f"no {path}")


@pytest.mark.parametrize("path", rows.REQUIRED)
def test_a_field_of_another_type_is_named(path):
    assert_rejected(changed(path, 1.5), "not a result row", f"{path} must be")


@pytest.mark.parametrize("path", ["score", "peak_bytes", "test.loss", "test_long.score", "config.steps"])
def test_a_string_or_a_bool_instead_of_a_number_is_named(path):
    for value in ("high", True):
        assert_rejected(changed(path, value), f"{path} must be a number", repr(value))


@pytest.mark.parametrize("path", rows.OPTIONAL)
def test_a_field_that_may_be_missing_may_be_null(path):
    if "." in path or path in made.row():
        rows.parse(changed(path, None), "row.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"config": ', "not JSON"),
        ("", "not JSON"),
        ("[]", "not a result row (an object with a 'config' or a 'study')"),
        ('{"loss": 1}', "not a result row"),
        (changed("curve", [3]), "each entry of curve must be an object with a step"),
    ],
)
def test_a_text_that_is_not_a_row_is_rejected(text, message):
    assert_rejected(text, message, "remove it or run it again")


@pytest.mark.parametrize("text", [changed("schema", KeyError), changed("schema", 1), '{"benchmark": "x"}'])
def test_a_row_of_an_earlier_schema_names_the_conversion(text):
    assert_rejected(text, "written before schema 2", "python scripts/migrate_rows.py FILE")


def test_an_edited_row_is_rejected(tmp_path):
    path = tmp_path / "row.json"
    rows.write(path, made.row())
    path.write_text(path.read_text().replace('"label": "Addax"', '"label": "Adam"'))
    with pytest.raises(UserError, match=r"row\.json: changed after it was written; remove it"):
        rows.read(path)


def test_a_row_is_read_back_as_written(tmp_path):
    row = made.row() | {"score": 0.1 + 0.2}
    rows.write(tmp_path / "row.json", row)
    assert rows.read(tmp_path / "row.json") == [row | {"checksum": rows.checksum(row)}]


def test_lines_are_read_back_as_written(tmp_path):
    written = [made.row("adam"), *made.precision()[:2]]
    rows.write_lines(tmp_path / "rows.jsonl", written)
    assert rows.read(tmp_path / "rows.jsonl") == written


def test_a_line_that_is_not_a_row_is_named(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(rows.dump(made.row()) + "\n\n" + '{"config": \n')
    with pytest.raises(UserError, match=r"rows\.jsonl:3: not JSON"):
        rows.read(path)


@pytest.mark.parametrize("file", sorted((ROOT / "results/reference").glob("*.jsonl")), ids=lambda f: f.stem)
def test_committed_rows_have_the_schema(file):
    assert rows.read(file)
