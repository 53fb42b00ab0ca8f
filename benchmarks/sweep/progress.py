"""Progress of a sweep: each worker writes a small file per run, and the sweep reads these files.

Files work with every executor, on one machine or several, and remain when a worker is killed:

    results/runs/<suite>/progress/<spec id>.json
"""

import contextlib
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import registry
from benchmarks.config import labels
from benchmarks.config.spec import RunSpec
from benchmarks.results import store

# Seconds between writes of a worker.
WRITE_INTERVAL = 1.0
# A line describes at most this many runs and counts the rest.
MAX_DESCRIBED = 3


@dataclass(frozen=True)
class RunProgress:
    """The progress of one run.

    Attributes:
        budget_fraction: fraction of the budget used so far.
        step: optimizer steps taken.
        text: the latest loss or score, such as "loss 0.693".
        written_at: seconds since the epoch.
    """

    budget_fraction: float
    step: int
    text: str
    written_at: float


class ProgressFile:
    """The file in which a worker reports the progress of its run; write errors do not stop the run.

    Args:
        suite: name of the suite.
        spec: the run.
    """

    def __init__(self, suite: str, spec: RunSpec) -> None:
        self._path = _path(suite, spec)
        self._written_at, self._step = -WRITE_INTERVAL, 0

    def __enter__(self) -> "ProgressFile":
        self.update(0.0, "starting")
        return self

    def __exit__(self, *_: object) -> None:
        remove(self._path)

    def log(self, step: int) -> None:
        """Record the number of steps taken; the next `update` writes it."""
        self._step = step

    def update(self, budget_fraction: float, text: str) -> None:
        """Write the file unless it was written within the last `WRITE_INTERVAL` seconds."""
        now = time.monotonic()
        if now - self._written_at < WRITE_INTERVAL:
            return
        self._written_at = now
        progress = RunProgress(budget_fraction, self._step, text, time.time())
        part = self._path.with_suffix(".part")
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(json.dumps(asdict(progress)))
            part.replace(self._path)


class SweepProgress:
    """The progress of a sweep, computed from the outcomes of finished runs and the files of the workers.

    Args:
        suite: name of the suite.
        specs: the runs of the sweep.
    """

    def __init__(self, suite: str, specs: list[RunSpec]) -> None:
        self.suite, self.total = suite, len(specs)
        self.unfinished = {spec.id: spec for spec in specs}
        self.failed = 0
        self._started_at, self._began = time.time(), time.monotonic()

    @property
    def done(self) -> int:
        """Number of runs that have ended with any outcome."""
        return self.total - len(self.unfinished)

    def end(self, spec: RunSpec, failed: bool) -> None:
        """Count a run that has ended."""
        self.unfinished.pop(spec.id, None)
        self.failed += failed

    def died(self, spec: RunSpec) -> None:
        """Remove the progress file of a worker that died."""
        remove(_path(self.suite, spec))

    def current(self) -> list[tuple[RunSpec, RunProgress]]:
        """Return the runs in progress, in the order of the sweep."""
        files = [(spec, _read(_path(self.suite, spec))) for spec in self.unfinished.values()]
        # Older files are leftovers of a sweep that was killed.
        return [(spec, run) for spec, run in files if run and run.written_at >= self._started_at]

    def line(self) -> str:
        """Return one line with the number of runs done, the runs in progress, and the time left."""
        current = self.current()
        parts = [f"{self.suite}: {self.done} of {self.total} runs done"]
        if self.failed:
            parts[0] += f" ({self.failed} failed)"
        parts += [f"{name_of(spec)} {describe(run)}" for spec, run in current[:MAX_DESCRIBED]]
        if len(current) > MAX_DESCRIBED:
            parts.append(f"{len(current) - MAX_DESCRIBED} more")
        return "; ".join([*parts, f"time left: {self._time_left(current)}"])

    def _time_left(self, current: list[tuple[RunSpec, RunProgress]]) -> str:
        work_done = self.done + sum(min(run.budget_fraction, 1.0) for _, run in current)
        if not work_done:
            return "unknown"
        return duration((time.monotonic() - self._began) * (self.total - work_done) / work_done)


def name_of(spec: RunSpec) -> str:
    """Return the name of a run in messages: its model, task, and method."""
    return f"{spec.model} {registry.stem(spec.task)} {labels.label(spec)}"


def describe(run: RunProgress) -> str:
    """Return a run's progress as text.

    >>> describe(RunProgress(0.256, 31, "loss 0.693", 0.0))
    'at 26% (step 31, loss 0.693)'
    """
    return f"at {100 * min(run.budget_fraction, 1):.0f}% (step {run.step}, {run.text})"


def duration(seconds: float) -> str:
    """Return a duration as text; from 90 seconds on in minutes, from 90 minutes on in hours.

    >>> duration(42.4), duration(150), duration(3 * 3600 + 40 * 60)
    ('42 s', '2 min', '3.7 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def remove(path: Path) -> None:
    """Remove a progress file; do nothing if it does not exist or cannot be removed."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def _path(suite: str, spec: RunSpec) -> Path:
    return store.folder(suite) / "progress" / f"{spec.id}.json"


def _read(path: Path) -> RunProgress | None:
    try:
        values: Mapping[str, Any] = json.loads(path.read_text())
        return RunProgress(**values)
    except (OSError, ValueError, TypeError):
        return None
