"""Tests of the readers: equal rows from every format, their places, and any marks, line ends, and quotes."""

import csv
import gzip
import io
import json

import pyarrow
import pyarrow.parquet
import pytest

from benchmarks.data import formats
from benchmarks.errors import UserError
from benchmarks.tasks import _fields

ROWS = [
    {"sentence": 'a "film", in\ntwo lines', "label": 1, "idx": 0},
    {"sentence": "Ärger; mit\tTab \u2028 und \u0085 mehr", "label": 0, "idx": 1},
    {"sentence": " 'quoted' {braces} ", "label": 1, "idx": 2},
]


def delimited(rows, delimiter=",", end="\r\n"):
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, rows[0], delimiter=delimiter, lineterminator=end)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def lines(rows, end="\n"):
    return "".join(json.dumps(row, ensure_ascii=False) + end for row in rows)


TEXTS = {
    "jsonl": lines(ROWS),
    "json array": json.dumps(ROWS, ensure_ascii=False),
    "indented json array": json.dumps(ROWS, indent=2),
    "json document": json.dumps({"version": {"data": []}, "data": ROWS}),
    "indented json document": json.dumps({"data": ROWS, "version": 1}, indent=2),
    "json that is jsonl": lines(ROWS),
    "csv": delimited(ROWS),
    "csv of unix": delimited(ROWS, end="\n"),
    "csv of old macs": delimited([{**ROWS[0], "sentence": "one"}, *ROWS[1:]], end="\r"),
    "tsv": delimited(ROWS, "\t"),
}


def read(path):
    found = [row for _, row in formats.rows(path)]
    convert = {"sentence": str, "label": int, "idx": int}
    return [{key: _fields.get(row, key, kind) for key, kind in convert.items()} for row in found]


@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "mark"])
@pytest.mark.parametrize("compressed", [False, True], ids=["text", "gz"])
@pytest.mark.parametrize("name", TEXTS)
def test_every_text_format_gives_equal_rows(tmp_path, name, mark, compressed):
    suffix = ".jsonl" if name == "jsonl" else next(s for s in (".json", ".csv", ".tsv") if s[1:] in name)
    content = (mark + TEXTS[name]).encode()
    path = tmp_path / f"rows{suffix}{'.gz' if compressed else ''}"
    path.write_bytes(gzip.compress(content) if compressed else content)
    expected = [{**ROWS[0], "sentence": "one"}, *ROWS[1:]] if "macs" in name else ROWS
    assert read(path) == expected


def test_parquet_gives_the_same_rows_across_batches_and_row_groups(tmp_path):
    rows = [{"sentence": f"film {i}", "label": i % 2, "idx": i} for i in range(3000)]
    table = pyarrow.Table.from_pylist(rows)
    pyarrow.parquet.write_table(table, tmp_path / "rows.parquet", row_group_size=700)
    assert read(tmp_path / "rows.parquet") == rows
    places = [place for place, _ in formats.rows(tmp_path / "rows.parquet")]
    assert places == [f"row {number}" for number in range(1, 3001)]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\n\n  \n", "\r\n\r\n"], ids=repr)
@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_places_are_the_lines_on_which_rows_start(tmp_path, suffix, end):
    path = tmp_path / f"rows{suffix}"
    texts = ["text,label", "a,1", '"b', 'c",0', "d,1"]
    if suffix == ".jsonl":
        texts = [json.dumps({"text": text}) for text in ("a", "b", "c")]
    path.write_bytes(end.join(texts).encode())
    whole = end.join(texts).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    starts = [i for i, text in enumerate(whole, 1) if text.strip() and text not in ("text,label", 'c",0')]
    assert [place for place, _ in formats.rows(path)] == [f"line {i}" for i in starts]


def test_places_in_an_array_are_the_lines_of_its_objects(tmp_path):
    path = tmp_path / "rows.json"
    path.write_text('[\n\n  {"a": 1}, {"a":\n 2},\n\n{"a": "x\\ny"}\n]')
    assert list(formats.rows(path)) == [("line 3", {"a": 1}), ("line 3", {"a": 2}), ("line 6", {"a": "x\ny"})]


@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
def test_a_row_of_json_lines_may_have_a_field_of_the_name_that_documents_use(tmp_path, suffix):
    rows = [{"sentence": "one", "data": []}, {"sentence": "two", "data": [{"sentence": "no row"}]}]
    path = tmp_path / f"rows{suffix}"
    path.write_text(lines(rows))
    assert [row for _, row in formats.rows(path)] == rows


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".json"])
@pytest.mark.parametrize("quoted", ["", '"'], ids=["plain", "with a quote"])
def test_a_text_may_be_as_long_as_a_book(tmp_path, suffix, quoted):
    row = {"sentence": quoted + "many words " * 100_000, "label": 1}
    delimiter = "\t" if suffix == ".tsv" else ","
    path = tmp_path / f"rows{suffix}"
    path.write_text(lines([row]) if "json" in suffix else delimited([row], delimiter))
    ((_, found),) = formats.rows(path)
    assert found["sentence"] == row["sentence"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('[{"a": 1}]\n[{"a": 2}]', 2),
        ('[{"a": 1}] and more', 1),
        ('{"data": [{"a": 1}]} {"data": [{"a": 2}]}', 1),
        ('{"data": [{"a": 1}], "version": 1}\n\n]', 3),
        ('{"data": [{"a": 1}],\n"data": [{"a": 2}]}', 2),
        ('{"data": [{"a": 1}],\n"version": 1', 2),
        ('{"data": [{"a": 1}]', 1),
        ('{"data": [{"a": 1}],\nversion: 1}', 2),
    ],
)
def test_no_row_after_the_first_array_is_dropped_silently(tmp_path, text, line):
    path = tmp_path / "rows.json"
    path.write_text(text)
    with pytest.raises(UserError, match=f"rows.json, line {line}: "):
        list(formats.rows(path))


def test_the_index_column_of_pandas_is_dropped(tmp_path):
    (tmp_path / "rows.csv").write_text(",text,label\n0,fine,1\n1,poor,0\n")
    found = [row for _, row in formats.rows(tmp_path / "rows.csv")]
    assert found == [{"text": "fine", "label": "1"}, {"text": "poor", "label": "0"}]


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".tsv"])
def test_rows_are_read_one_at_a_time(tmp_path, suffix):
    path = tmp_path / f"rows{suffix}"
    good = '{"text": "fine", "label": "1"}\n' if suffix == ".jsonl" else "text,label\nfine,1\n"
    path.write_text(good.replace(",", "\t") if suffix == ".tsv" else good)
    with path.open("ab") as file:
        file.write(b"\n" * 200_000 + b'"')
    found = formats.rows(path)
    assert next(found)[1] == {"text": "fine", "label": "1"}
    with pytest.raises(UserError, match="line 2000"):
        next(found)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (int, " 12 ", 12),
        (int, "-1", -1),
        (bool, "TRUE", True),
        (bool, "False", False),
        (list, '["it\'s", "b, c"]', ["it's", "b, c"]),
        (list, "['a' 'b'\n 'array(c)']", ["a", "b", "array(c)"]),
        (list, "[]", []),
        (dict, "{'text': array(['x, y', 'z'],\n      dtype=object), 's': array([1, 2])}",
         {"text": ["x, y", "z"], "s": [1, 2]}),
        (dict, '{"a": true, "b": null, "c": [1.5, -2e3]}', {"a": True, "b": None, "c": [1.5, -2000.0]}),
    ],
)  # fmt: skip
def test_a_text_of_csv_is_converted_to_the_kind_that_a_task_needs(kind, text, value):
    assert _fields.get(_fields.Texts(key=text), "key", kind) == value


@pytest.mark.parametrize(
    ("kind", "text"), [(int, "1.5"), (int, "one"), (bool, "yes"), (list, "a"), (list, "['a'"), (dict, "[1]")]
)
def test_a_text_of_csv_that_is_no_such_value_is_an_error(kind, text):
    with pytest.raises(ValueError, match=f"field 'key' must be {kind.__name__}, not "):
        _fields.get(_fields.Texts(key=text), "key", kind)


def test_texts_of_json_are_not_converted():
    with pytest.raises(ValueError, match="field 'label' must be int, not '1'"):
        _fields.index({"label": "1"}, 2)
