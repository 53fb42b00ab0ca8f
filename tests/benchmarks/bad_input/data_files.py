"""Data files of each format that are damaged or malformed, and descriptions of tasks that do not fit them."""

import gzip
import io
import json
from collections.abc import Callable

import pyarrow
import pyarrow.parquet

from tests.benchmarks.bad_input.case import ADDAX, TINY, Case, Sandbox, options

TASK = ["run", "--method", "addax", "--model", "nano-opt"]
SST2 = "sentence,label\n" + "".join(f"a film of {i} minutes,{i % 2}\n" for i in range(40))
REVIEWS = SST2.replace("sentence", "text")
MOOD = 'prompt = "{text} It was"\nlabel = "label"\n[answers]\n0 = " terrible"\n1 = " great"\n'


def file(name: str, path: str, content: str | bytes, *expected: str) -> Case:
    """Build a case from one malformed file with rows of SST-2."""
    argv = [*ADDAX, "--data", f"{{tmp}}/{path}", *options(TINY)]
    return Case(name, argv, (f"{{tmp}}/{path}", *expected), lambda sandbox: sandbox.write(path, content))


def csv(name: str, content: str | bytes, *expected: str) -> Case:
    """Build a case from a malformed CSV file."""
    return file(name, "rows.csv", content, *expected)


def described(name: str, toml: str, rows: str, *expected: str) -> Case:
    """Build a case from a description of a task and the rows of its file."""

    def setup(sandbox: Sandbox) -> None:
        sandbox.write("mood.toml", toml)
        sandbox.write("rows.csv", rows)

    argv = [*TASK, "--task", "{tmp}/mood.toml", "--data", "{tmp}/rows.csv", *options(TINY)]
    return Case(name, argv, expected, setup)


def inferred(name: str, rows: str, *expected: str, more: tuple[str, ...] = ()) -> Case:
    """Build a case from a CSV file whose columns determine the task."""
    argv = [*TASK, "--data", "{tmp}/rows.csv", *more, *options(TINY)]
    return Case(name, argv, expected, lambda sandbox: sandbox.write("rows.csv", rows))


def _split(name: str, content: str | bytes) -> Callable[[Sandbox], None]:
    def setup(sandbox: Sandbox) -> None:
        sandbox.rows()
        sandbox.write(f"data/sst2/{name}", content)

    return setup


def _parquet(*columns: tuple[str, list]) -> bytes:
    out = io.BytesIO()
    names, values = zip(*columns, strict=True)
    pyarrow.parquet.write_table(pyarrow.table(list(values), names=list(names)), out)
    return out.getvalue()


_GOOD = _parquet(("sentence", [f"film {i}" for i in range(40)]), ("label", [i % 2 for i in range(40)]))
_NESTED = {
    "version": "1.1",
    "data": [{"title": "T", "paragraphs": [{"context": "c", "qas": [{"id": "q7"}]}]}],
}
FOLDER = [*ADDAX, "--data", "{tmp}/data", *options(TINY)]

CASES = [
    csv("an empty CSV file", "", "has no rows", "a first line that names the columns"),
    csv("a CSV file with a header alone", "sentence,label\n", "has no rows"),
    csv("a CSV file without a header", "a film,1\nanother,0\n",
         "line 1: column 2 has no name ('1')", "text,label"),
    csv("a CSV file with semicolons", SST2.replace(",", ";"),
         "line 1: the columns are separated by semicolons",
        "not by commas", "separate them by commas"),
    csv("a TSV file named .csv", SST2.replace(",", "\t"), "separated by tabs", "rename the file to .tsv"),
    file("a CSV file named .tsv", "rows.tsv", SST2, "separated by commas", "rename the file to .csv"),
    csv("a CSV row with too many fields", SST2 + "good, bad,1\n", "line 42: 3 fields, but line 1 names 2",
        "put quotes around fields"),
    csv("a CSV row with too few fields", SST2 + "good\n", "line 42: 1 fields"),
    csv("a column that is there twice", "sentence,label,label\n",
         "line 1: column 'label' is there twice: rename"),
    csv("a quote that does not end", SST2 + '"good,1\n' + SST2, "line 42: a field that starts with a quote"),
    csv("a quote inside a quoted field", SST2 + '"a "good" film",1\n', "line 42: ", "write it twice"),
    csv("a CSV row that is not UTF-8", SST2.encode() + b"k\xe4se,1\n",
         "line 42: field 'sentence' is not UTF-8",
        "save the file as UTF-8"),
    csv("a CSV file in UTF-16", SST2.encode("utf-16"), "line 1: not UTF-8"),
    csv("a CSV label outside the classes", SST2 + "good,2\n", "line 42: field 'label' must be 0 to 1, not 2"),
    csv("a CSV label that is a word", SST2 + "good,yes\n", "line 42: field 'label' must be int, not 'yes'"),
    csv("a CSV file without the column", SST2.replace("sentence", "phrase"),
        "line 2: field 'sentence' is missing (fields: phrase, label)"),
    csv("an empty CSV field", SST2 + ",1\n", "line 42: field 'sentence' is empty"),
    file("a cut archive of CSV", "rows.csv.gz", gzip.compress(SST2.encode())[:-9], "cannot be read",
         "copy it again"),
    file("a JSON array that is cut", "rows.json", json.dumps([{"sentence": "a", "label": 1}] * 9)[:-30],
         "line 1: "),
    file("a JSON array without a comma", "rows.json", '[{"sentence": "a", "label": 1}\n{"a": 1}]',
         "line 2: not JSON (expected a comma"),
    file("a JSON array of texts", "rows.json", '["a",\n"b"]', "line 1: expected an object, not str"),
    file("a JSON number", "rows.json", "3", "line 1: a JSON file must be an array of objects"),
    file("a JSON object without rows", "rows.json", '{\n"rows": []}', "field 'data' with the array of rows",
         "fields: rows"),
    file("an empty JSON array", "rows.json", "[]", "has no rows: it needs an array of objects"),
    file("JSON lines in a file named .json", "rows.json", '{"sentence": "a", "label": 1}\n{"sentence": 1\n',
         "line 2: not JSON"),
    file("a field that is there twice in an array", "rows.json", '[{"a": 1},\n{"b": 1, "b": 2}]',
         "line 1: field 'sentence' is missing"),
    file("a question without a text", "rows.json", json.dumps(_NESTED),
         "line 1, question q7: field 'question'"),
    file("Parquet with a label outside the classes", "rows.parquet",
         _parquet(("sentence", ["a", "b"]), ("label", [1, 7])), "row 2: field 'label' must be 0 to 1, not 7"),
    file("Parquet without the column", "rows.parquet", _parquet(("text", ["a"])),
         "row 1: field 'sentence' is missing"),
    file("Parquet with a column twice", "rows.parquet", _parquet(("a", [1]), ("a", [2])),
         "column 'a' is there twice"),
    file("Parquet that is cut", "rows.parquet", _GOOD[:-20], "cannot be read as Parquet", "convert it again"),
    file("a text file named .parquet", "rows.parquet", SST2, "cannot be read as Parquet"),
    file("an empty Parquet table", "rows.parquet", _parquet(("sentence", [])), "has no rows"),
    file("a file with too few rows", "rows.csv", "sentence,label\na,1\n", "has too few rows", "add rows"),
    file("a spreadsheet", "rows.xlsx", "PK", "no such folder, nor data file", ".csv"),
    Case("a missing data file", [*ADDAX, "--data", "{tmp}/none.csv"], ("no such data file: {tmp}/none.csv",)),
    Case("two formats of one split", FOLDER, ("has both train.jsonl and train.csv: remove one",),
         _split("train.csv", SST2)),
    Case("no task and no file", [*TASK, "--data", "builtin"], ("--task is missing", "--data FILE")),
    Case("columns with a task", [*ADDAX, "--data", "{tmp}/rows.csv", "--label", "label"],
         ("--label and --text have no effect with --task sst2",),
         lambda sandbox: sandbox.write("rows.csv", SST2)),
    Case("a missing description of a task", [*TASK, "--task", "mine.toml"],
         ("no such task file: mine.toml",)),
    described("a misspelled key", MOOD.replace("label =", "lable ="), REVIEWS,
         "{tmp}/mood.toml: unknown key 'lable'",
              "did you mean 'label'?"),
    described("a field that no row has", MOOD.replace("{text}", "{txt}"), REVIEWS,
              "{tmp}/rows.csv, line 2: field 'txt', which prompt of {tmp}/mood.toml names, is missing",
              "did you mean 'text'?"),
    described("a label without an answer", MOOD, REVIEWS + "good,2\n",
              "{tmp}/rows.csv, line 42: field 'label' must be one of 0, 1, not '2'",
              "add it to [answers] of {tmp}/mood.toml"),
    inferred("a file with two labels", "text,mood,day\n" + "a b c,x,y\nc d e,y,x\n" * 9,
             "'mood' and 'day' could be the label (columns: text, mood, day)", "--label NAME"),
    inferred("a column that does not exist", REVIEWS, "unknown column 'lable': did you mean 'label'?",
             more=("--label", "lable")),
]  # fmt: skip
