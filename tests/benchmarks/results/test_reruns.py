"""Tests of the list of reruns that agreed with committed rows to the last bit."""

from itertools import permutations

import pytest

from benchmarks.results import reruns
from benchmarks.results.reruns import Known, Rerun
from benchmarks.results.sources import committed_rows
from tests.benchmarks.results import result_rows


def rerun(before, after, setting=None):
    return Rerun("demo", "an-id", setting or SETTING, before, after, "c" * 40, "2026-01-31")


ROW = result_rows.row("mezo") | {"source_fingerprint": "a"}
SETTING = reruns.setting_of(ROW)


def test_agreement_passes_through_code_in_between():
    steps = [rerun("a", "b"), rerun("b", "c"), rerun("c", "b"), rerun("x", "y")]
    for order in permutations(steps):
        known = Known(order)
        assert [known.agree(ROW, code) for code in "abcxy"] == [True, True, True, False, False]
    assert not Known([rerun("a", "b", "another setting")]).agree(ROW, "b")
    # Today's code is known to agree with older code, not with code that came after it.
    assert not Known([rerun("b", "a")]).agree(ROW, "b")


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"seed": 5, "data_seed": 6}, True),
        ({"steps": 7}, True),
        ({"settings": {"eps": 1e-2}}, True),
        ({"steps": None, "seconds": 5.0}, False),
        ({"schedule": "linear"}, False),
        ({"evaluations": 9}, False),
        ({"long_above": 100}, False),
        ({"dtype": "bfloat16"}, False),
        ({"settings": {"zo_batch_size": 3}}, False),
        ({"settings": {"eps": 0.0}}, False),
        ({"settings": {"betas": [0.9, 0.9]}}, False),
    ],
    ids=str,
)
def test_runs_of_one_setting_differ_in_seeds_amounts_and_real_numbers_only(changes, same):
    config = {
        "seed": 0,
        "data_seed": 0,
        "steps": 5,
        "seconds": None,
        "schedule": "constant",
        "evaluations": 1,
    }
    settings = {"eps": 1e-3, "zo_batch_size": 2, "betas": [0.9, 0.95]}
    first = {"config": config | {"settings": settings}}
    second = {"config": config | changes | {"settings": settings | changes.get("settings", {})}}
    assert (reruns.setting_of(first) == reruns.setting_of(second)) == same


def test_the_list_is_sorted_and_holds_every_rerun_once(tmp_path):
    (tmp_path / "results").mkdir()
    assert reruns.read(tmp_path) == []
    reruns.add([rerun("b", "c")], tmp_path)
    file = reruns.add([rerun("a", "b"), rerun("b", "c")], tmp_path)
    assert reruns.read(tmp_path) == [rerun("a", "b"), rerun("b", "c")]
    assert file.read_text().splitlines()[0] == "suite,run,setting,before,after,commit,date"


def test_every_listed_rerun_belongs_to_a_committed_row():
    entries = reruns.read()
    rows = {(suite, row["id"]): row for suite in {e.suite for e in entries} for row in committed_rows(suite)}
    assert all(reruns.setting_of(rows[entry.suite, entry.run]) == entry.setting for entry in entries)
