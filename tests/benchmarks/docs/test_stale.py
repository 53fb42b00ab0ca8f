"""Tests of stale tables: a row is stale if different code from today's produced it."""

import json

import pytest

from benchmarks import docs
from benchmarks.config.fingerprint import source_fingerprint, study_fingerprint
from benchmarks.config.spec import from_dict
from benchmarks.docs import stale
from benchmarks.registry import ROOT
from benchmarks.results import reruns
from benchmarks.results.row import read
from tests.benchmarks.results import result_rows

TODAY = from_dict({"method": "mezo", "model": "nano-opt", "task": "sst2", "lr": 1e-3, "steps": 1})


NOTHING = reruns.Known([])


def row(**changes):
    """Return the row of a run that today's code has produced."""
    fields = {"config": TODAY.config(), "source_fingerprint": source_fingerprint(TODAY)}
    return result_rows.row("mezo") | fields | changes


def test_a_row_from_todays_code_is_current():
    assert not stale.is_stale(row(), NOTHING)


@pytest.mark.parametrize(
    "changes",
    [
        {"source_fingerprint": "0123456789abcdef"},
        {"source_fingerprint": None},
        {"config": TODAY.config() | {"method": "a-method-that-is-gone"}},
    ],
)
def test_a_row_from_other_code_is_stale(changes):
    assert stale.is_stale(row(**changes), NOTHING)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({}, False), ({"source_fingerprint": "0123456789abcdef"}, True), ({"study": "gone"}, True)],
)
def test_the_row_of_a_study_follows_the_code_of_the_study(changes, expected):
    current = {"study": "precision", "source_fingerprint": study_fingerprint("precision")}
    assert stale.is_stale(current | changes, NOTHING) == expected


def test_a_row_from_other_code_is_current_if_a_rerun_of_its_setting_agreed(tmp_path):
    older = row(source_fingerprint="0123456789abcdef")
    again = row(git_commit="feedbeef" * 5)
    (tmp_path / "results").mkdir()
    reruns.add([reruns.of_rows("demo", older, again)], tmp_path)
    known = reruns.Known(reruns.read(tmp_path))
    other_seed = TODAY.replace(seed=7, lr=1e-4).config()
    other_setting = TODAY.replace(zo_batch_size=4).config()
    assert not stale.is_stale(older, known)
    assert not stale.is_stale(older | {"config": other_seed}, known)
    assert stale.is_stale(older | {"config": other_setting}, known)
    assert stale.is_stale(older | {"source_fingerprint": "f" * 16}, known)
    assert stale.is_stale(older | {"source_fingerprint": None}, known)


def test_pages_list_their_stale_tables(tmp_path):
    folder = tmp_path / "results/reference"
    folder.mkdir(parents=True)
    rows = [row(), row(id="other", source_fingerprint="0123456789abcdef", git_commit="feedbeef" * 5)]
    (folder / "demo.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    (folder / "fresh.jsonl").write_text(json.dumps(row()) + "\n")
    marks = [f"<!-- table:{name} -->\n<!-- /table:{name} -->\n" for name in ("demo:score", "fresh:score")]
    (tmp_path / "README.md").write_text("".join(marks))
    found = stale.entries(tmp_path)
    assert [(e.page, e.name, e.stale, e.rows, e.commits) for e in found] == [
        ("README.md", "demo:score", 1, 2, ("feedbee",)),
        ("README.md", "fresh:score", 0, 1, ()),
    ]
    listing = stale.listing(found)
    assert "1 of 2" in listing
    assert "fresh:score" not in listing
    assert listing.endswith("1 of 2 tables and figures show stale rows.")
    assert stale.listing(found[1:]) == "All rows of the 1 tables and figures are current."


def test_every_table_of_committed_rows_is_listed():
    named = {(e.page, e.name) for e in stale.entries()}
    for page in docs.pages():
        for name in filter(stale.owners, stale.marks.tables(page.read_text(encoding="utf-8"))):
            assert (page.relative_to(ROOT).as_posix(), name) in named
    counts = {owner: len(read(ROOT / f"results/reference/{owner}.jsonl")) for owner in ("quick", "precision")}
    found = {e.name: e.rows for e in stale.entries()}
    assert found["quick:score"] == counts["quick"]
    assert found["figures/precision/precision.png"] == counts["precision"]
