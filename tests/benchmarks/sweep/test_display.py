"""Tests of the progress output of sweeps and runs, on a terminal and elsewhere."""

import io
import re
from concurrent.futures import Future

import pytest
from rich.console import Console

from benchmarks.sweep import display, progress, scheduler
from benchmarks.sweep.display import RunLines
from benchmarks.sweep.progress import ProgressFile, SweepProgress
from benchmarks.sweep.worker import Outcome
from tests.benchmarks.sweep.inline import SPECS, Inline, swept


class Waiting:
    """An executor whose futures the test completes one by one."""

    jobs = 2

    def __init__(self):
        self.futures = []

    def __call__(self, runs):
        return self

    def submit(self, work, spec):
        self.futures.append(Future())
        return self.futures[-1]

    def close(self, now=False):
        pass


@pytest.fixture
def output(runs, monkeypatch):
    """Sweep three runs with a line every 10 ms, and return the lines and the whole output."""
    executor, lines = Waiting(), []
    files = [ProgressFile("s", spec) for spec in SPECS]
    real = SweepProgress.line

    def line(self):
        text = real(self)
        lines.append(text)
        # The first run starts after the first line and ends after the second one, and so on.
        if len(lines) == 1:
            files[0].log(3)
            files[0].update(0.25, "loss 0.693")
        elif len(lines) == 2:
            progress.remove(files[0]._path)
            executor.futures[0].set_result(Outcome("done"))
        elif len(lines) == 3:
            executor.futures[1].set_result(Outcome("failed", "diverged"))
        else:
            executor.futures[2].set_result(Outcome("done"))
        return text

    monkeypatch.setattr(SweepProgress, "line", line)
    failed, text = swept(SPECS[:3], executor, line_interval=0.01)
    assert failed == 1
    return lines, text


def test_a_line_shows_runs_done_the_current_run_its_loss_and_the_time_left(output):
    lines, _ = output
    assert lines[0] == "s: 0 of 3 runs done; time left: unknown"
    assert lines[1] == ("s: 0 of 3 runs done; nano-opt sst2 SGD at 25% (step 3, loss 0.693); time left: 0 s")
    assert lines[2].startswith("s: 1 of 3 runs done; time left: ")
    assert lines[2].endswith(" s")
    assert lines[3].startswith("s: 2 of 3 runs done (1 failed); time left: ")


def test_lines_are_not_wrapped_in_narrow_output(output):
    lines, text = output
    printed = text.splitlines()
    assert printed[0] == "s: 3 runs to do, 0 already finished"
    assert [line for line in printed if " of 3 runs done" in line] == lines
    assert "failed: nano-opt sst2 Addax: diverged" in printed
    assert re.fullmatch(r"s: 3 runs done in \d+ s, 1 failed", printed[-1])


def test_a_terminal_gets_a_bar_and_no_lines(runs):
    console = Console(file=io.StringIO(), width=100, force_terminal=True)
    options = {"folder": None, "console": console, "line_interval": 0.0}
    assert scheduler.sweep("s", SPECS[:1], make_executor=Inline(), **options) == 0
    text = console.file.getvalue()
    assert "1/1" in text
    assert "runs done" not in text


def test_a_manual_run_prints_lines_at_intervals(monkeypatch, capsys):
    now = 1000.0
    monkeypatch.setattr(display.time, "monotonic", lambda: now)
    show = RunLines(SPECS[0], interval=30.0)
    # The run resumes at a quarter of its budget.
    for step in range(3, 10):
        show(step / 12, f"loss {step}")
        now += 10
    assert capsys.readouterr().out.splitlines() == [
        "nano-opt sst2 SGD at 50% (loss 6); time left: 60 s",
        "nano-opt sst2 SGD at 75% (loss 9); time left: 30 s",
    ]
