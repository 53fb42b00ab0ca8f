"""Data folders that are missing, incomplete, or invalid for the task."""

import gzip
import json
import shutil

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


ROW = b'{"sentence": "fine", "label": 1}\n'
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
    damaged("no training file", "train.jsonl", None, "has no train.jsonl or train.jsonl.gz"),
    damaged("no validation file", "validation.jsonl", None, "has no validation.jsonl"),
    damaged("a cut archive", "train.jsonl.gz", gzip.compress(ROW * 50)[:-9], "train.jsonl.gz cannot be read"),
    damaged("a text file named .gz", "train.jsonl.gz", ROW, "train.jsonl.gz cannot be read"),
    damaged("a file that is not UTF-8", "train.jsonl", b'{"sentence": "\xff"}', "train.jsonl cannot be read"),
    damaged("an empty training file", "train.jsonl", b"", "task sst2", "no rows are left for train"),
    damaged("one training row", "train.jsonl", ROW, "task sst2", "needs at least two rows"),
    damaged("equal training rows", "train.jsonl", ROW * 9, "task sst2", "no rows are left for train"),
    damaged("an empty test file", "validation.jsonl", b"", "task sst2", "no rows are left for test"),
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
        ("no such data folder: {tmp}/gone", "--data takes builtin, hub, or a folder"),
        lambda sandbox: sandbox.patch.setenv("ADDAX_DATA", str(sandbox.folder / "gone")),
    ),
]
