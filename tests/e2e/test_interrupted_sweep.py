"""Tests that the same command continues a sweep after it is stopped in any way, without losing any work."""

import importlib.util
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
from tests.benchmarks.sweep.wandb_logs import read

# A process saves a checkpoint at its first evaluation. In the 10-second run, that is after half a second.
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


MODE = "offline" if importlib.util.find_spec("wandb") else "disabled"
WORDS = ["-m", "benchmarks", "sweep", "stopped", "--jobs", "1", "--wandb", MODE]


def sweep(copy, environment, ignore=""):
    """Start the sweep; `ignore` names a signal that it inherits as ignored, as from `nohup COMMAND &`."""
    return subprocess.Popen(
        ["sh", "-c", f'trap "" {ignore or "WINCH"}; exec "$@"', "sh", sys.executable, *WORDS],
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


def stopped(process, *signals):
    """Send signals to all processes of a sweep; return its exit code and its lines on stderr."""
    for sent in signals:
        os.killpg(process.pid, sent)
    _, message = process.communicate(timeout=60)
    return process.returncode, message.splitlines()


def message_of(word, code):
    return code, [
        f"{word}: finished runs and checkpoints are saved; to continue, run",
        f"  python -m benchmarks sweep stopped --jobs 1 --wandb {MODE}",
    ]


@pytest.mark.slow
@pytest.mark.process
def test_a_sweep_continues_after_it_is_interrupted_terminated_and_killed(copy):
    """Ctrl-C and SIGTERM go to the whole process group, as from a terminal or a scheduler; SIGKILL goes only
    to the sweep.
    """
    rows, checkpoints = copy / "results/runs/stopped", copy / "results/runs/stopped/checkpoints"
    # A run with several threads is slow if other processes use the cores.
    environment = os.environ | {"PYTHONPATH": str(copy), "OMP_THREAD_LIMIT": "1"}

    def checkpoint_times():
        """Return the times of the checkpoints of runs without a row. A finished run removes its own."""
        found = {file: file.parent.name.split("-")[0] for file in checkpoints.glob("*/last.pt")}
        return {f.stat().st_mtime_ns for f, run in found.items() if not (rows / f"{run}.json").exists()}

    first = sweep(copy, environment)
    wait_for(lambda: len(list(rows.glob("*.json"))) == 2 and checkpoint_times(), first)
    assert stopped(first, signal.SIGINT) == message_of("interrupted", 130)
    before = checkpoint_times()
    second = sweep(copy, environment, ignore="INT")
    wait_for(lambda: checkpoint_times() - before, second)
    assert stopped(second, signal.SIGINT, signal.SIGTERM) == message_of("terminated", 143)
    before = checkpoint_times()
    third = sweep(copy, environment)
    wait_for(lambda: checkpoint_times() - before, third)
    os.kill(third.pid, signal.SIGKILL)
    third.communicate(timeout=60)
    last = processes.python(*WORDS, cwd=copy, env=environment)
    assert (last.returncode, last.stderr) == (0, "")
    assert "stopped: 1 runs to do, 2 already finished" in last.stdout
    found = [json.loads(file.read_text()) for file in rows.glob("*.json")]
    assert [row["status"] for row in found] == ["done"] * 3
    (long,) = (row for row in found if row["steps"] > 1)
    resumed_at = long["resumed_at_steps"]
    assert 0 < resumed_at[0] < resumed_at[1] < resumed_at[2] < long["steps"]
    assert len(resumed_at) == 3
    assert long["train_seconds"] >= 10
    assert not list(checkpoints.iterdir())
    if MODE == "offline":
        for row in found:
            (file,) = copy.glob(f"results/runs/wandb/offline-run-*/run-stopped-{row['id']}-*.wandb")
            _, history, summary, exit_code = read(file)
            assert list(history) == list(range(row["steps"] + 1))
            assert (summary["steps"], exit_code) == (row["steps"], 0)
