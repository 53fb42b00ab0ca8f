"""Tests that the same command continues a sweep after Ctrl-C or a kill, without losing any work."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from benchmarks import registry
from tests import processes

# A run saves a checkpoint at each evaluation. In the 10-second run, that is every half a second.
SUITE = '''"""Two short runs and a long one."""

from benchmarks.config.spec import from_dict

TINY = {"model": "nano-opt", "task": "sst2", "train_rows": 16, "validation_rows": 4, "test_rows": 4}
TINY |= {"fo_batch_size": 2, "lr": 1e-3, "evaluations": 20}


def specs():
    budgets = [{"steps": 1}, {"steps": 1}, {"seconds": 10.0}]
    return [from_dict(TINY | {"method": "sgd", "seed": k} | budget) for k, budget in enumerate(budgets)]
'''


@pytest.fixture
def copy(tmp_path):
    """Copy the sources without any rows, add the suite, and return the folder."""
    for name in ("addax", "baselines", "benchmarks", "plots"):
        shutil.copytree(registry.ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("figures"))
    (tmp_path / "benchmarks" / "suites" / "stopped.py").write_text(SUITE)
    return tmp_path


WORDS = ["-m", "benchmarks", "sweep", "stopped", "--jobs", "1", "--wandb", "disabled"]


def sweep(copy, environment):
    return subprocess.Popen(
        [sys.executable, *WORDS],
        cwd=copy,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(condition, process):
    end = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.process
def test_a_sweep_continues_after_an_interrupt_and_after_a_kill(copy):
    """The interrupt goes to the whole process group, as from a terminal; the kill goes only to the sweep."""
    rows, checkpoints = copy / "results/runs/stopped", copy / "results/runs/stopped/checkpoints"
    # A run with several threads is slow if other processes use the cores.
    environment = os.environ | {"PYTHONPATH": str(copy), "OMP_THREAD_LIMIT": "1"}

    def checkpoint_times():
        return {file.stat().st_mtime_ns for file in checkpoints.glob("*/last.pt")}

    first = sweep(copy, environment)
    wait_for(lambda: len(list(rows.glob("*.json"))) == 2 and checkpoint_times(), first)
    os.killpg(first.pid, signal.SIGINT)
    _, message = first.communicate(timeout=60)
    assert first.returncode == 130
    assert message.splitlines() == [
        "interrupted: finished runs and checkpoints are saved; to continue, run",
        "  python -m benchmarks sweep stopped --jobs 1 --wandb disabled",
    ]
    before = checkpoint_times()
    second = sweep(copy, environment)
    wait_for(lambda: checkpoint_times() - before, second)
    os.kill(second.pid, signal.SIGKILL)
    second.communicate(timeout=60)
    third = processes.python(*WORDS, cwd=copy, env=environment)
    assert (third.returncode, third.stderr) == (0, "")
    assert "stopped: 1 runs to do, 2 already finished" in third.stdout
    found = [json.loads(file.read_text()) for file in rows.glob("*.json")]
    assert [row["status"] for row in found] == ["done"] * 3
    (long,) = (row for row in found if row["steps"] > 1)
    resumed_at = long["resumed_at_steps"]
    assert 0 < resumed_at[0] < resumed_at[1] < long["steps"]
    assert len(resumed_at) == 2
    assert long["train_seconds"] >= 10
    assert not list(checkpoints.iterdir())
