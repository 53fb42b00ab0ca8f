"""Tests of the script that verifies committed rows of older code by reruns."""

import copy
import importlib.util
import json
import shutil

import pytest

from benchmarks.errors import UserError
from benchmarks.registry import ROOT
from benchmarks.results import reruns, store
from benchmarks.training import run as train
from tests.benchmarks.sweep.inline import SPECS

pytestmark = [pytest.mark.slow, pytest.mark.process]

OLDER = "0123456789abcdef"


@pytest.fixture
def script():
    found = importlib.util.spec_from_file_location("verify_rows", ROOT / "scripts/verify_rows.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def made():
    """Return rows of older code: two of SGD, of which the first took less time, and one of MeZO."""
    rows = []
    for seconds, spec in enumerate((SPECS[0], SPECS[3], SPECS[2])):
        row = train.run(spec, train.load(spec, None), suite="s")
        rows.append(row | {"source_fingerprint": OLDER, "wall_seconds": 1.0 + seconds})
    return rows


@pytest.fixture
def committed(made, monkeypatch, tmp_path):
    monkeypatch.setattr(store, "RUNS", tmp_path / "results/runs")
    write(tmp_path, made)
    return copy.deepcopy(made)


def write(root, rows):
    file = root / "results/reference/s.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def change_last_bit(row):
    row["curve"][0]["loss"] *= 1 + 2**-52


def test_one_run_of_each_setting_is_repeated_and_listed(script, committed, tmp_path, capfd):
    assert script.verify("s", root=tmp_path) == 0
    assert "s: 2 of 2 settings agree to the last bit" in capfd.readouterr().out
    found = reruns.read(tmp_path)
    assert {(entry.run, entry.before) for entry in found} == {(SPECS[0].id, OLDER), (SPECS[2].id, OLDER)}
    known = reruns.Known(found)
    assert not any(script.is_stale(row, known) for row in committed)
    assert script.verify("s", root=tmp_path) == 0
    assert "s: all 3 rows are current" in capfd.readouterr().out
    # A killed script keeps the rows of its finished reruns, but not those of other code.
    kept, other = (tmp_path / f"results/runs/s.verify/today/{spec.id}.json" for spec in (SPECS[2], SPECS[0]))
    time = kept.stat().st_mtime_ns
    other.write_text(json.dumps(json.loads(other.read_text()) | {"source_fingerprint": OLDER}))
    (tmp_path / "results/reruns.csv").unlink()
    assert script.verify("s", root=tmp_path) == 0
    assert kept.stat().st_mtime_ns == time
    assert json.loads(other.read_text())["source_fingerprint"] == script.source_fingerprint(SPECS[0])
    # A report of the suite still shows the committed rows.
    assert [folder.name for folder in store.RUNS.iterdir()] == ["s.verify"]


def test_a_setting_whose_rerun_gives_another_number_stays_stale(script, committed, tmp_path, capfd):
    change_last_bit(committed[0])
    write(tmp_path, committed)
    assert script.verify("s", root=tmp_path) == 1
    out = capfd.readouterr().out
    assert "s: 1 of 2 settings agree to the last bit" in out
    assert f"not SGD on sst2, nano-opt (run {SPECS[0].id})" in out
    assert [entry.run for entry in reruns.read(tmp_path)] == [SPECS[2].id]


def test_on_another_processor_the_older_code_is_repeated_too(script, committed, tmp_path, capfd):
    """The copy is older code that gives the numbers of today's; a row of SGD has other last bits."""
    tree = tmp_path / "older"
    for folder in ("addax", "baselines", "benchmarks"):
        shutil.copytree(ROOT / folder, tree / folder, ignore=shutil.ignore_patterns("__pycache__"))
    with (tree / "baselines/sgd.py").open("a") as source:
        source.write("OLDER = True\n")
    out = tmp_path / "results/runs/s.verify/older"
    # The first call finds the fingerprints of the copy.
    with pytest.raises(UserError, match=f"{tree} is not the code of run"):
        script.verify("s", None, tree, tmp_path)
    for row in committed:
        if row["label"] == "SGD":
            first = json.loads((out / f"{SPECS[0].id}.json").read_text())
            row["source_fingerprint"] = first["source_fingerprint"]
            change_last_bit(row)
    write(tmp_path, [row for row in committed if row["label"] == "SGD"])
    assert script.verify("s", None, tree, tmp_path) == 0
    (entry,) = reruns.read(tmp_path)
    assert (entry.run, entry.before) == (SPECS[0].id, committed[0]["source_fingerprint"])
    assert entry.after == script.source_fingerprint(SPECS[0]) != entry.before


def test_a_run_that_no_longer_exists_is_named_and_the_others_are_repeated(script, committed, capsys):
    committed[2]["config"] = committed[2]["config"] | {"method": "a-method-that-is-gone"}
    assert script.stale_specs(committed, reruns.Known([])) == [SPECS[0]]
    assert "MeZO on sst2 cannot be repeated: " in capsys.readouterr().out


def test_a_suite_without_rows_is_one_clear_line(script, capsys):
    assert script.main(["small"]) == 2
    assert capsys.readouterr().err == "error: suite 'small' has no committed rows to verify\n"
