"""Tests of scripts/gpu_rows.sh with a stand-in for Python, and of one tiny run on the CPU that is killed."""

import os
import shlex
import subprocess
import sys
import time

import pytest

from benchmarks import registry
from benchmarks.cli import build_parser
from benchmarks.results.row import read
from benchmarks.studies.memory_validation import PAPERS

SCRIPT = registry.ROOT / "scripts" / "gpu_rows.sh"
# Appends its arguments to a file, and then does what the variable DO says.
STAND_IN = """#!/usr/bin/env bash
printf '%q ' "$@" >>"$CALLS"
echo >>"$CALLS"
eval "${DO:-}"
"""


@pytest.fixture
def script(tmp_path):
    """Return a function that starts the script with the stand-in, and one that returns its calls so far."""
    stand_in, calls = tmp_path / "python", tmp_path / "calls"
    stand_in.write_text(STAND_IN)
    stand_in.chmod(0o755)

    def start(*words, **variables):
        env = os.environ | {"PYTHON": str(stand_in), "CALLS": str(calls)} | variables
        command = [str(SCRIPT), *words, str(tmp_path / "out")]
        return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def called():
        return [shlex.split(line) for line in calls.read_text().splitlines()] if calls.exists() else []

    return start, called


def finish(process):
    """Return the output of the script."""
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0, out
    return out


def wait_for(condition, process):
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)


def test_every_part_is_a_valid_command_and_the_most_valuable_ones_come_first(script, tmp_path):
    start, called = script
    finish(start())
    tests, *studies = called()
    assert tests[:3] == ["-m", "pytest", "-q"]
    assert tests[-1] == "tests/gpu"
    parsed = []
    for words in studies:
        assert words[:2] == ["-m", "benchmarks"]
        parsed.append(build_parser(words[2:]).parse_args(words[2:]))
        assert str(parsed[-1].save_to) == str(tmp_path / "out")
    first, second = parsed[:2]
    assert (first.shape, first.dtype, first.parts) == ("opt-13b", "bfloat16", ["zeroth order"])
    assert (first.batch_size, first.length) == (16, 400)
    assert (second.parts, second.batch_size, second.length) == (["mixed"], 6, 400)
    assert (second.fo_batch_size, second.fo_length) == (4, 170)
    measured = [args.models[0] for args in parsed if args.name == "memory-validation"]
    assert sorted(measured) == sorted(PAPERS)


def test_finished_parts_are_skipped_and_failed_ones_come_last(script):
    start, called = script
    finish(start("--tiny", DO='case "$*" in *zeroth*) exit 3 ;; esac'))
    kinds = [words[words.index("--parts") + 1] if "--parts" in words else "tests" for words in called()]
    assert kinds == ["tests", "zeroth order", "mixed"]
    out = finish(start("--tiny"))
    assert [words[words.index("--parts") + 1] for words in called()[3:]] == ["zeroth order"]
    assert "nano-opt, zeroth order: done" in out
    finish(start("--tiny"))
    assert len(called()) == 4


def test_a_killed_script_repeats_only_the_part_in_progress(script):
    start, called = script
    process = start("--tiny", DO='case "$*" in *zeroth*) sleep 100 ;; esac')
    wait_for(lambda: len(called()) == 2, process)
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 143
    finish(start("--tiny"))
    assert [words[words.index("--parts") + 1] for words in called()[2:]] == ["zeroth order", "mixed"]


def test_no_part_starts_after_the_time_for_all_parts(script):
    start, called = script
    out = finish(start("--tiny", MINUTES="0"))
    assert called() == []
    assert out.count("no time left") == 3


def test_a_missing_folder_is_one_clear_line():
    done = subprocess.run([str(SCRIPT)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, "usage: scripts/gpu_rows.sh [--tiny] OUT\n")


@pytest.mark.slow
@pytest.mark.process
def test_a_tiny_run_can_be_killed_resumed_and_merged(tmp_path):
    out, reference = tmp_path / "out", tmp_path / "reference"
    env = os.environ | {"PYTHON": sys.executable, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    command = [str(SCRIPT), "--tiny", str(out)]
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL)
    wait_for((out / "step-speed.jsonl").exists, process)
    process.terminate()
    assert process.wait(60) == 143
    kept = read(out / "step-speed.jsonl")
    assert {row["part"] for row in kept} == {"zeroth order"}
    subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL, timeout=200)
    rows = read(out / "step-speed.jsonl")
    assert {row["part"] for row in rows} == {"zeroth order", "mixed"}
    assert {file.name for file in out.iterdir()} == {"step-speed.jsonl", "log.txt", "parts.txt"}
    merge = (
        "import pathlib, runpy, sys; from benchmarks.results import store; "
        f"store.REFERENCE = pathlib.Path({str(reference)!r}); "
        f"sys.argv = ['merge_rows.py', {str(out)!r}]; "
        f"runpy.run_path({str(registry.ROOT / 'scripts' / 'merge_rows.py')!r}, run_name='__main__')"
    )
    subprocess.run([sys.executable, "-c", merge], env=env, check=True, cwd=registry.ROOT, timeout=200)
    assert read(reference / "step-speed.jsonl") == rows
