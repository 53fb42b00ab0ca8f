"""Data folders that are missing, incomplete, or invalid for the task."""

import errno
import gzip
import json
import os
import shutil
from pathlib import Path

from benchmarks.data.formats import text as texts
from tests.benchmarks.bad_input.case import ADDAX, TINY, Case, Sandbox, options

ARGV = [*ADDAX, "--data", "{tmp}/data", *options(TINY)]


def line(name: str, text: str | dict, *expected: str) -> Case:
    """Build a case from an invalid third line of the training file."""

    def setup(sandbox: Sandbox) -> None:
        sandbox.rows(train=[{"sentence": "fine", "label": 1}, {"sentence": "poor", "label": 0}, text])

    return Case(name, ARGV, ("{tmp}/data/sst2/train.jsonl, line 3: ", *expected), setup)


def damaged(name: str, path: str, content: bytes | None, *expected: str) -> Case:
    """Build a case from valid data with one file replaced, or removed if `content` is None."""

    def setup(sandbox: Sandbox) -> None:
        sandbox.rows()
        for file in (sandbox.folder / "data/sst2").glob(path.partition(".")[0] + ".*"):
            file.unlink()
        if content is not None:
            sandbox.write(f"data/sst2/{path}", content)

    where = "{tmp}/data" if "task sst2" in expected[0] else "{tmp}/data/sst2"
    return Case(name, ARGV, (where, *expected), setup)


def _elsewhere(sandbox: Sandbox) -> None:
    sandbox.rows()
    shutil.move(sandbox.folder / "data/sst2", sandbox.folder / "data/sst-2")


def _alike(sandbox: Sandbox) -> None:
    lines = "".join(json.dumps({"sentence": f"take {i}", "label": i % 2}) + "\n" for i in range(14))
    for split in ("train", "validation"):
        sandbox.write(f"data/sst2/{split}.jsonl", lines)


def _folder(sandbox: Sandbox) -> None:
    sandbox.rows()
    (sandbox.folder / "data/sst2/train.jsonl").unlink()
    (sandbox.folder / "data/sst2/train.jsonl").mkdir()


def _twice(sandbox: Sandbox) -> None:
    sandbox.rows()
    sandbox.write("data/sst2/train.jsonl.gz", gzip.compress(ROW))


def _bare(sandbox: Sandbox) -> None:
    sandbox.write("data/train.jsonl", ROW)


def _locked(sandbox: Sandbox) -> None:
    sandbox.rows()

    # The superuser, who runs tests in containers, may read every file.
    def denied(path: Path, *_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    sandbox.patch.setattr(texts, "open", denied, raising=False)


def _skipped(sandbox: Sandbox) -> None:
    row = {"premise": "it rained", "hypothesis": "it was wet", "label": -1}
    for split in ("train", "validation"):
        sandbox.write(f"data/mnli/{split}.jsonl", (json.dumps(row) + "\n") * 9)


ROW = b'{"sentence": "fine", "label": 1}\n'
LATIN = '{"sentence": "caf\xe9", "label": 1}\n'.encode("latin-1")
SKIPPED = ["run", "--method", "addax", "--model", "nano-opt", "--task", "mnli", "--data", "{tmp}/data"]
SKIPPED += options(TINY)
DEEP = '{"sentence": ' + "[" * 100_000 + "]" * 100_000 + "}"
CASES = [
    line("a line that is not JSON", '{"sentence": "x", "label": 1', "not JSON", "column"),
    line("a line that is not an object", "[1, 2]", "expected an object, not list"),
    line("a line of bare NaN", "NaN", "expected an object, not float"),
    line("a row without its label", {"sentence": "x"}, "field 'label' is missing (fields: sentence)"),
    line("a row without its text", {"label": 1}, "field 'sentence' is missing"),
    line("a text of blanks", {"sentence": "  ", "label": 1}, "field 'sentence' is empty"),
    line("a text that is a number", {"sentence": 3, "label": 1}, "field 'sentence' must be str, not 3"),
    line("a label out of range", {"sentence": "x", "label": 2}, "field 'label' must be 0 to 1, not 2"),
    line("a label by name", {"sentence": "x", "label": "good"}, "field 'label' must be int, not 'good'"),
    line("a label that is true", {"sentence": "x", "label": True}, "must be int, not True"),
    line("a label that is NaN", '{"sentence": "x", "label": NaN}', "field 'label' must be int, not nan"),
    line("a label that is infinite", '{"sentence": "x", "label": -Infinity}', "must be int, not -inf"),
    line("a text that is NaN", '{"sentence": NaN, "label": 0}', "field 'sentence' must be str, not nan"),
    line("a number", "7", "expected an object, not int"),
    line("null", "null", "expected an object, not NoneType"),
    line("a text of null", {"sentence": None, "label": 1}, "field 'sentence' must be str, not None"),
    line("a label of null", {"sentence": "x", "label": None}, "field 'label' must be int, not None"),
    line(
        "a label of a thousand digits", '{"sentence": "x", "label": 1' + "0" * 999 + "}", "0 to 1, not 1000"
    ),
    line("a label of too many digits", '{"sentence": "x", "label": 1' + "0" * 9999 + "}", "too many digits"),
    line(
        "a field that is there twice",
        '{"sentence": "x", "label": 1, "label": 0}',
        "field 'label' is there twice",
    ),
    line(
        "half a character", '{"sentence": "x\\ud83d", "label": 1}', "lone surrogate ('\\ud83d'", "'sentence'"
    ),
    line("a nested row", DEEP, "the row is nested too deeply"),
    line("two rows on a line", '{"sentence": "x", "label": 1} {"sentence": "y", "label": 0}', "not JSON"),
    line("a mark of the byte order in the middle", '\ufeff{"sentence": "x", "label": 1}', "not JSON"),
    line("a row of Python", "{'sentence': 'x', 'label': 1}", "not JSON"),
    damaged("no training file", "train.jsonl", None, "has no train.jsonl or train.jsonl.gz"),
    damaged("no validation file", "validation.jsonl", None, "has no validation.jsonl"),
    damaged("a cut archive", "train.jsonl.gz", gzip.compress(ROW * 50)[:-9], "train.jsonl.gz cannot be read"),
    damaged("a text file named .gz", "train.jsonl.gz", ROW, "train.jsonl.gz cannot be read"),
    damaged("a row that is not UTF-8", "train.jsonl", ROW + b"\n" + LATIN, "train.jsonl, line 3: not UTF-8"),
    damaged("a file in UTF-16", "train.jsonl", ROW.decode().encode("utf-16"), "line 1: not UTF-8 (column 1)"),
    damaged("an empty training file", "train.jsonl", b"", "train.jsonl has no rows", "one JSON object"),
    damaged("a training file of blank lines", "train.jsonl", b"\n \n\t\n", "train.jsonl has no rows"),
    damaged("an empty archive", "train.jsonl.gz", gzip.compress(b""), "train.jsonl.gz has no rows"),
    damaged("one training row", "train.jsonl", ROW, "task sst2", "needs at least two rows"),
    damaged("equal training rows", "train.jsonl", ROW * 9, "task sst2", "no rows are left for train"),
    damaged("an empty test file", "validation.jsonl", b"", "validation.jsonl has no rows: it needs one JSON"),
    damaged("a JSON array", "train.jsonl", b"[\n" + ROW + b"]\n", "train.jsonl, line 1: not JSON"),
    Case("a training file that is a folder", ARGV, ("{tmp}/data/sst2/train.jsonl is not a file",), _folder),
    Case("two training files", ARGV, ("both train.jsonl and train.jsonl.gz: remove one of them",), _twice),
    Case("a data folder without folders", ARGV, ("{tmp}/data has no folders: it needs sst2/",), _bare),
    Case("a file that may not be read", ARGV, ("train.jsonl cannot be read: Permission denied",), _locked),
    Case("a file that the task skips", SKIPPED, ("from_file of task mnli skips all 9 rows",), _skipped),
    Case("test rows that are all in the training file", ARGV, ("no rows are left for test",), _alike),
    Case(
        "a folder that lacks the task",
        ARGV,
        ("unknown task folder 'sst2'", "did you mean 'sst-2'?"),
        _elsewhere,
    ),
    Case(
        "a data folder that is a file",
        ARGV,
        ("--data {tmp}/data: no such folder",),
        lambda sandbox: sandbox.write("data", "x"),
    ),
    Case(
        "a missing data folder in the environment",
        ["run", "--method", "addax", "--model", "nano-opt", "--task", "sst2"],
        ("no such data folder: {tmp}/gone", "--data takes builtin, hub, a folder, or a file"),
        lambda sandbox: sandbox.patch.setenv("ADDAX_DATA", str(sandbox.folder / "gone")),
    ),
]
