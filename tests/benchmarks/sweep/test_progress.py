"""Tests of progress: the files that workers write, and the lines that a sweep computes from them."""

import json
import time

import pytest

from benchmarks.sweep import progress
from benchmarks.sweep.progress import ProgressFile, SweepProgress
from tests.benchmarks.sweep.inline import SPECS


def test_time_left_counts_finished_runs_and_fractions_of_current_ones(runs, monkeypatch):
    now = 1000.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    sweep = SweepProgress("s", SPECS)
    file = ProgressFile("s", SPECS[1])
    sweep.end(SPECS[0], failed=False)
    now += 60
    file.update(0.5, "loss 1.0")
    # 1.5 runs took 60 s, and 2.5 runs are left.
    assert sweep.line().endswith("time left: 2 min")
    assert sweep._time_left([]) == "3 min"


def test_a_line_describes_three_runs_and_counts_the_others(runs):
    sweep = SweepProgress("s", SPECS)
    for spec in SPECS:
        ProgressFile("s", spec).update(0.0, "starting")
    assert sweep.line().count("starting") == 3
    assert "; 1 more; " in sweep.line()


def test_progress_files_of_earlier_sweeps_and_dead_workers_are_ignored(runs):
    ProgressFile("s", SPECS[0]).update(0.9, "loss 0.1")
    time.sleep(0.01)
    sweep = SweepProgress("s", SPECS)
    assert sweep.current() == []
    ProgressFile("s", SPECS[1]).update(0.5, "loss 0.2")
    assert [spec.id for spec, _ in sweep.current()] == [SPECS[1].id]
    sweep.died(SPECS[1])
    assert sweep.current() == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"step": 1}'])
def test_an_unreadable_progress_file_is_ignored(runs, text):
    sweep = SweepProgress("s", SPECS)
    file = ProgressFile("s", SPECS[0])
    file.update(0.5, "loss 0.2")
    file._path.write_text(text)
    assert sweep.current() == []


def test_a_file_is_written_at_most_once_a_second(runs, monkeypatch):
    now = 1000.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    file = ProgressFile("s", SPECS[0])
    texts = []
    for _ in range(25):
        now += 0.1
        file.update(0.0, f"loss {now}")
        texts.append(json.loads(file._path.read_text())["text"])
    assert len(set(texts)) == 3


def test_a_file_that_cannot_be_written_does_not_stop_the_run(runs):
    runs.parent.mkdir()
    runs.write_text("a file where the folder should be")
    with ProgressFile("s", SPECS[0]) as file:
        file.update(0.5, "loss 0.2")
