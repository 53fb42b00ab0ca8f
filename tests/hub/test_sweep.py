"""Test of a suite whose model and data are on the hub, from download to report, and again without it."""

import json
import shutil
import subprocess
import sys

import pytest

from benchmarks import registry, suites, tasks
from benchmarks.suites import quick
from tests.hub import client, repositories
from tests.hub.server import running

MODEL = "acme/opt-nano"
# All runs of opt-13b-tiny, with a pinned model and data sets on the hub.
SUITE = f'''"""Runs of a model and of data sets on the hub."""

from benchmarks import suites


def specs():
    return [spec.replace(model="{MODEL}@v1", data="hub") for spec in suites.load("opt-13b-tiny")]
'''


@pytest.fixture
def copy(tmp_path):
    """Copy the sources without any rows, add the suite, and return the folder."""
    for name in ("addax", "baselines", "benchmarks", "plots"):
        shutil.copytree(registry.ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("figures"))
    (tmp_path / "benchmarks" / "suites" / "onhub.py").write_text(SUITE)
    (tmp_path / "results").mkdir()
    shutil.copy(registry.ROOT / "results" / "published.csv", tmp_path / "results")
    return tmp_path


def python(copy, env, *words):
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *words],
        cwd=copy, env=env, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


# About two minutes on two cores, and three times as long on the slowest machines.
@pytest.mark.timeout(900)
@pytest.mark.slow
@pytest.mark.process
def test_a_suite_runs_from_download_to_report_and_then_without_the_hub(copy, tmp_path):
    with running() as server:
        repositories.add_data(server)
        model = repositories.add_model(server, MODEL, "nano-opt")
        server.repositories["model", MODEL].refs["v1"] = model
        env = client.environment(server.url, tmp_path / "home", OMP_NUM_THREADS="1")
        out = python(copy, env, "sweep", "onhub", "--jobs", "2", "--report")
        commits = {name: repo.refs["main"] for (_, name), repo in server.repositories.items()}
    count = len(suites.load("opt-13b-tiny"))
    assert f"{count} runs to do, 0 already finished" in out
    files = sorted((copy / "results" / "runs" / "onhub").glob("*.json"))
    rows = [json.loads(file.read_text()) for file in files]
    assert len(rows) == count
    assert {row["status"] for row in rows} == {"done"}
    assert {row["model_commit"] for row in rows} == {model}
    assert {row["config"]["model"] for row in rows} == {f"{MODEL}@v1"}
    assert {row["config"]["task"]: row["data_commit"] for row in rows} == {
        task: commits[tasks.load(task).hub.dataset] for task in quick.TASKS
    }
    page = next((copy / "results").rglob("*.html")).read_text()
    assert f"{MODEL}@v1 {model[:7]}" in page
    # Nothing listens at the address any more.
    again = client.environment(server.url, tmp_path / "home", OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1")
    before = files[0].read_text()
    files[0].unlink()
    out = python(copy, again, "sweep", "onhub", "--jobs", "1")
    assert f"1 runs to do, {count - 1} already finished" in out
    first, second = json.loads(before), json.loads(files[0].read_text())
    for field in ("score", "model_commit", "data_commit", "data_fingerprint", "source_fingerprint"):
        assert first[field] == second[field], field
