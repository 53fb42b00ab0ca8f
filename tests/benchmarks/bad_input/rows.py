"""Data folders that are not there, not whole, or not what the task reads."""

import gzip
import json
import shutil

from tests.benchmarks.bad_input.case import ADDAX, TINY, Case, Place, options

WORDS = [*ADDAX, "--data", "{tmp}/data", *options(TINY)]


def line(name: str, text: str | dict, *says: str) -> Case:
    """A wrong third line of the training file."""

    def given(place: Place) -> None:
        place.rows(train=[{"sentence": "fine", "label": 1}, {"sentence": "poor", "label": 0}, text])

    return Case(name, WORDS, ("{tmp}/data/sst2/train.jsonl, line 3: ", *says), given)


def damaged(name: str, path: str, content: bytes | None, *says: str) -> Case:
    """Good data of which one file has another content, or is gone."""

    def given(place: Place) -> None:
        place.rows()
        for file in (place.folder / "data/sst2").glob(path.partition(".")[0] + ".*"):
            file.unlink()
        if content is not None:
            place.write(f"data/sst2/{path}", content)

    return Case(name, WORDS, ("{tmp}/data" if "task sst2" in says[0] else "{tmp}/data/sst2", *says), given)


def _elsewhere(place: Place) -> None:
    place.rows()
    shutil.move(place.folder / "data/sst2", place.folder / "data/sst-2")


def _alike(place: Place) -> None:
    lines = "".join(json.dumps({"sentence": f"take {i}", "label": i % 2}) + "\n" for i in range(14))
    for split in ("train", "validation"):
        place.write(f"data/sst2/{split}.jsonl", lines)


ROW = b'{"sentence": "fine", "label": 1}\n'
CASES = [
    line("a line that is no JSON", '{"sentence": "x", "label": 1', "not JSON", "column"),
    line("a line that is no object", "[1, 2]", "expected an object, not list"),
    line("a line of bare NaN", "NaN", "expected an object, not float"),
    line("a row without its label", {"sentence": "x"}, "field 'label' is missing (fields: sentence)"),
    line("a row without its text", {"label": 1}, "field 'sentence' is missing"),
    line("a text of blanks", {"sentence": "  ", "label": 1}, "field 'sentence' is empty"),
    line("a text that is a number", {"sentence": 3, "label": 1}, "field 'sentence' should be str, not 3"),
    line("a label out of range", {"sentence": "x", "label": 2}, "field 'label' should be 0 to 1, not 2"),
    line("a label by name", {"sentence": "x", "label": "good"}, "field 'label' should be int, not 'good'"),
    line("a label that is true", {"sentence": "x", "label": True}, "should be int, not True"),
    line("a label that is NaN", '{"sentence": "x", "label": NaN}', "field 'label' should be int, not nan"),
    line("a label that is infinite", '{"sentence": "x", "label": -Infinity}', "should be int, not -inf"),
    line("a text that is NaN", '{"sentence": NaN, "label": 0}', "field 'sentence' should be str, not nan"),
    damaged("no training file", "train.jsonl", None, "holds no train.jsonl or train.jsonl.gz"),
    damaged("no validation file", "validation.jsonl", None, "holds no validation.jsonl"),
    damaged("a cut archive", "train.jsonl.gz", gzip.compress(ROW * 50)[:-9], "train.jsonl.gz cannot be read"),
    damaged("an archive that is none", "train.jsonl.gz", ROW, "train.jsonl.gz cannot be read"),
    damaged("other letters than UTF-8", "train.jsonl", b'{"sentence": "\xff"}', "train.jsonl cannot be read"),
    damaged("an empty training file", "train.jsonl", b"", "task sst2", "no row is left for train"),
    damaged("one training row", "train.jsonl", ROW, "task sst2", "needs two rows at least"),
    damaged("equal training rows", "train.jsonl", ROW * 9, "task sst2", "no row is left for train"),
    damaged("an empty test file", "validation.jsonl", b"", "task sst2", "no row is left for test"),
    Case("test rows that are all trained on", WORDS, ("no row is left for test",), _alike),
    Case(
        "a folder that lacks the task",
        WORDS,
        ("unknown task folder 'sst2'", "did you mean 'sst-2'?"),
        _elsewhere,
    ),
    Case(
        "a file for a folder", WORDS, ("--data {tmp}/data: no such folder",), lambda p: p.write("data", "x")
    ),
    Case(
        "a data folder of the environment that is gone",
        ["run", "--method", "addax", "--model", "nano-opt", "--task", "sst2"],
        ("no such data folder: {tmp}/gone", "--data takes hub, builtin or a folder"),
        lambda place: place.patch.setenv("ADDAX_DATA", str(place.folder / "gone")),
    ),
]
