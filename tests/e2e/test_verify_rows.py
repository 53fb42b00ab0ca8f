"""Tests of the script that verifies committed rows of older code by reruns."""

import importlib.util
import json

import pytest

from benchmarks.registry import ROOT
from benchmarks.results import reruns, store
from benchmarks.training import run as train
from tests.benchmarks.sweep.inline import SPECS, Inline

OLDER = "0123456789abcdef"


@pytest.fixture
def script():
    found = importlib.util.spec_from_file_location("verify_rows", ROOT / "scripts/verify_rows.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@pytest.fixture
def committed(monkeypatch, tmp_path):
    """Commit rows of older code: two of SGD, of which the first took less time, and one of MeZO."""
    monkeypatch.setattr(store, "RUNS", tmp_path / "results/runs")
    rows = []
    for seconds, spec in enumerate((SPECS[0], SPECS[3], SPECS[2])):
        row = train.run(spec, train.load(spec, None), suite="s")
        rows.append(row | {"source_fingerprint": OLDER, "wall_seconds": 1.0 + seconds})
    write(tmp_path, rows)
    return rows


def write(root, rows):
    file = root / "results/reference/s.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def verify(script, root):
    return script.verify("s", None, 1, lambda *lanes: Inline(), root)


def test_one_run_of_each_setting_is_repeated_and_listed(script, committed, tmp_path, capsys):
    assert verify(script, tmp_path) == 0
    assert "s: 2 of 2 settings agree to the last bit" in capsys.readouterr().out
    found = reruns.read(tmp_path)
    assert {(entry.run, entry.before) for entry in found} == {(SPECS[0].id, OLDER), (SPECS[2].id, OLDER)}
    known = reruns.Known(found)
    assert not any(script.is_stale(row, known) for row in committed)
    assert verify(script, tmp_path) == 0
    assert "s: all 3 rows are current" in capsys.readouterr().out
    # A report of the suite still shows the committed rows.
    assert [folder.name for folder in store.RUNS.iterdir()] == ["s.verify"]


def test_a_setting_whose_rerun_gives_another_number_stays_stale(script, committed, tmp_path, capsys):
    # The smallest change of a loss of the first seed of SGD.
    loss = committed[0]["curve"][0]["loss"]
    committed[0]["curve"][0]["loss"] = loss * (1 + 2**-52)
    write(tmp_path, committed)
    assert verify(script, tmp_path) == 1
    out = capsys.readouterr().out
    assert "s: 1 of 2 settings agree to the last bit" in out
    assert f"not SGD on sst2, nano-opt (run {SPECS[0].id})" in out
    assert [entry.run for entry in reruns.read(tmp_path)] == [SPECS[2].id]


def test_a_run_that_no_longer_exists_stays_stale_and_the_others_are_verified(
    script, committed, tmp_path, capsys
):
    committed[2]["config"] = committed[2]["config"] | {"method": "a-method-that-is-gone"}
    write(tmp_path, committed)
    assert verify(script, tmp_path) == 0
    out = capsys.readouterr().out
    assert "MeZO on sst2 cannot be repeated: " in out
    assert "s: 1 of 1 settings agree to the last bit" in out


def test_a_suite_without_rows_is_one_clear_line(script, capsys):
    assert script.main(["small"]) == 2
    assert capsys.readouterr().err == "error: suite 'small' has no committed rows to verify\n"
