"""Tests of a task without Python and one data file in a sweep with worker processes, and in its tables."""

import json
import os
import shutil

import pytest

from benchmarks import registry
from benchmarks.report import tables
from benchmarks.results.frame import Results
from tests import processes

TOML = """\
title = "Reviews"
prompt = "{text} It was"
label = "mood"
[answers]
bad = " terrible"
good = " great"
"""
SUITE = '''"""Two small runs of a task without Python."""

from benchmarks.config.spec import from_dict

TINY = {"model": "nano-opt", "task": "reviews.toml", "lr": 1e-3, "steps": 2, "evaluations": 1,
        "train_rows": 16, "validation_rows": 4, "test_rows": 8}


def specs():
    return [from_dict({"method": method, **TINY}) for method in ("sgd", "mezo")]
'''


@pytest.mark.process
def test_a_sweep_of_a_task_without_python_repeats_its_runs_if_the_description_changes(tmp_path):
    for name in ("addax", "baselines", "benchmarks"):
        shutil.copytree(registry.ROOT / name, tmp_path / name)
    (tmp_path / "benchmarks" / "suites" / "mine.py").write_text(SUITE)
    (tmp_path / "reviews.toml").write_text(TOML)
    lines = [f"the film {i} was {('dull', 'lovely')[i % 2]},{('bad', 'good')[i % 2]}" for i in range(80)]
    (tmp_path / "reviews.csv").write_text("\n".join(["text,mood", *lines]))
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}

    def sweep(*words):
        words = ["-m", "benchmarks", "sweep", "mine", "--data", "reviews.csv", "--device", "cpu", *words]
        done = processes.python(*words, cwd=tmp_path, env=environment)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.splitlines()[-1]

    sweep("--jobs", "2")
    rows = [json.loads(file.read_text()) for file in (tmp_path / "results/runs/mine").glob("*.json")]
    assert sorted((row["label"], row["status"]) for row in rows) == [("MeZO", "done"), ("SGD", "done")]
    for row in rows:
        assert (row["task_title"], row["config"]["task"], row["config"]["data"]) == (
            "Reviews", "reviews.toml", "file",
        )  # fmt: skip
        assert str(tmp_path) not in json.dumps(row)
    # Tables name the task by its title, also where the description is missing.
    assert "Reviews" in tables.markdown(Results.of(rows).means, "score")
    (tmp_path / "reviews.toml").write_text(TOML.replace(" great", " good"))
    again = "(2 again, because their data, their task, or other code has changed)"
    assert sweep("--dry-run") == f"mine: 2 runs to do {again}, 0 already finished"
