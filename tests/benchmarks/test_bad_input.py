"""Tests that invalid input ends in a one-line error before any training step, and changes no file.

To add a case, add a line to a list in `bad_input/`.
"""

import datetime
import functools
import json
import os
import subprocess
import sys

import pytest
from torch.optim.optimizer import register_optimizer_step_pre_hook

from benchmarks import models, registry
from benchmarks.cli import main
from benchmarks.config import spec
from benchmarks.report import build as report
from benchmarks.results import store
from benchmarks.results.frame import Results
from benchmarks.sweep import worker
from benchmarks.sweep.tracking import Tracker
from benchmarks.training import run as train
from plots import render
from tests.benchmarks.bad_input import (
    arguments,
    code,
    comparisons,
    data_files,
    planning,
    results,
    rows,
    saving,
    task_values,
    weights,
)
from tests.benchmarks.bad_input.case import TINY, Sandbox, clear_caches
from tests.benchmarks.results import result_rows

CASES = [
    case
    for module in (
        arguments,
        comparisons,
        planning,
        code,
        task_values,
        rows,
        data_files,
        weights,
        saving,
        results,
    )
    for case in module.CASES
]


@pytest.fixture
def sandbox(tmp_path, monkeypatch):
    """Redirect all output files to a temporary folder, which contains one result row."""
    monkeypatch.delenv("ADDAX_DATA", raising=False)
    monkeypatch.setenv("ADDAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(store, "RUNS", tmp_path / "results/runs")
    monkeypatch.setattr(registry, "RUNS", tmp_path / "results/runs")
    monkeypatch.setattr(store, "REFERENCE", tmp_path / "results/reference")
    monkeypatch.setattr(report, "write_report", functools.partial(report.write_report, root=tmp_path))
    monkeypatch.setattr(render, "FIGURES", tmp_path / "figures")
    # wandb would write the log of a failed run; test_tracking covers that.
    monkeypatch.setattr(worker, "_tracker", lambda mode: Tracker("disabled", tmp_path))
    here = Sandbox(tmp_path, monkeypatch)
    here.write("results/runs/kept/row.json", json.dumps(result_rows.row()))
    yield here
    here.restore()
    monkeypatch.undo()
    clear_caches()


def files(folder):
    """Return the content of every file in a folder, except for locks, traces, and bytecode."""
    ignored = (".lock", ".pyc")
    paths = [path for path in folder.rglob("*") if path.is_file() and path.suffix not in ignored]
    return {path: path.read_bytes() for path in paths if folder / "cache/memory" not in path.parents}


def no_step(*_):
    raise AssertionError("a step was taken")


def no_model(*_, **__):
    raise AssertionError("a model was read")


@pytest.mark.medium
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_invalid_input_gives_a_one_line_error_and_changes_no_file(case, sandbox, capsys):
    if case.setup:
        case.setup(sandbox)
    if not case.loads:
        sandbox.patch.setattr(models, "load", no_model)
    tmp = str(sandbox.folder)
    before = files(sandbox.folder)
    hook = register_optimizer_step_pre_hook((lambda *_: None) if case.predicts else no_step)
    try:
        status = main([word.replace("{tmp}", tmp) for word in case.argv])
    finally:
        hook.remove()
        sandbox.restore()
    err = capsys.readouterr().err
    *notices, last = err.splitlines()
    assert status == 2
    assert last.startswith("error: ")
    assert len(notices) == case.notices
    assert "Traceback" not in err
    assert [part for part in case.expected if part.replace("{tmp}", tmp) not in last] == []
    assert files(sandbox.folder) == before


@pytest.mark.process
def test_the_program_exits_with_2_and_one_line(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "fetch", "smollm2"],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(registry.ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("error: unknown name to fetch 'smollm2': did you mean 'smollm2-135m'?")


def test_a_clock_that_is_set_back_affects_no_duration_and_no_row(sandbox, monkeypatch):
    """Durations come from a monotonic clock, and a repeated run keeps the row that was written last."""
    noon = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)
    times = iter([noon - datetime.timedelta(hours=k) for k in range(9)])
    monkeypatch.setattr(train, "utc", lambda: next(times).isoformat(timespec="seconds"))
    repeated = spec.from_dict({"method": "sgd", "model": "nano-opt", "task": "sst2"} | TINY)
    first, second = (train.run(repeated, train.load(repeated, None), suite="s") for _ in range(2))
    assert second["ended"] < second["started"] < first["ended"] < first["started"]
    for row in (first, second):
        assert row["status"] == "done"
        assert 0 < row["train_seconds"] < row["wall_seconds"]
        seconds = [point["train_seconds"] for point in row["curve"]]
        assert seconds == sorted(seconds)
        store.write("s", row)
    (kept,) = store.read_suite("s")
    assert kept == json.loads(json.dumps(second)) | {"checksum": kept["checksum"]}


@pytest.mark.parametrize(
    ("field", "what"), [("task_version", "prompt version"), ("generator_version", "generator version")]
)
def test_rows_of_an_older_task_version_are_skipped_and_counted(field, what, sandbox, capsys):
    """With two seeds of the new version and one of the old, the mean covers the two new ones."""
    old, *new = [result_rows.row(seed=seed) | {field: 2 - (seed == 0)} for seed in range(3)]
    other = result_rows.row(task="rte") | {field: 1}
    for row in (old, *new, other):
        sandbox.write(f"results/runs/mine/{row['id']}.json", json.dumps(row))
    means = Results.of([old, *new, other]).means.set_index("task")
    assert means["n"].to_dict() == {"sst2": 2, "rte": 1}
    assert means["score"]["sst2"] == pytest.approx(sum(row["score"] for row in new) / 2)
    message = f"Excluded 1 row of sst2 with {what} 1 (the newest is version 2)."
    glob = str(sandbox.folder / "results/runs/mine/*.json")
    assert main(["plots", "figure1", "--rows", glob]) == 0
    assert message in capsys.readouterr().out
    sandbox.patch.setattr(render, "draw", lambda *_: {})
    assert main(["report", "mine"]) == 0
    assert message in capsys.readouterr().out
