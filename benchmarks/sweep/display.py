"""Progress output of sweeps and runs: a bar on a terminal, a line at intervals in a file or pipe."""

import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.config.spec import RunSpec
from benchmarks.sweep.progress import SweepProgress, duration, name_of

# Seconds between lines if the output is not a terminal, and between updates of the bar if it is.
LINE_INTERVAL, BAR_INTERVAL = 30.0, 1.0


class SweepDisplay:
    """The progress output of a sweep.

    Args:
        progress: the progress to print.
        console: the console to print it on.
        line_interval: seconds between lines if the console is not a terminal.

    Attributes:
        interval: seconds between calls of `show`.
    """

    def __init__(self, progress: SweepProgress, console: Console, line_interval: float) -> None:
        self.progress, self.console = progress, console
        self.interval = BAR_INTERVAL if console.is_terminal else line_interval
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bar = Progress(*columns, console=console, disable=not console.is_terminal)
        self._task = self._bar.add_task(progress.suite, total=progress.total)
        self._began = time.monotonic()

    def __enter__(self) -> "SweepDisplay":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self) -> None:
        """Update the bar, or print a line of progress."""
        if self.console.is_terminal:
            current = self.progress.current()
            text = f"{name_of(current[0][0])} {current[0][1].text}" if current else self.progress.suite
            self._bar.update(self._task, completed=self.progress.done, description=text)
        else:
            note(self.console, self.progress.line())

    def end(self) -> None:
        """Print that all runs have ended; on a terminal, only complete the bar."""
        if self.console.is_terminal:
            self.show()
        else:
            took, done = duration(time.monotonic() - self._began), self.progress.done
            note(
                self.console,
                f"{self.progress.suite}: {done} runs done in {took}, {self.progress.failed} failed",
            )


class RunLines:
    """Print the progress of one run, at most once every `interval` seconds.

    The estimate of the time left counts from the point at which the run was resumed.

    Args:
        spec: the run.
        interval: seconds between lines.
    """

    def __init__(self, spec: RunSpec, interval: float = LINE_INTERVAL) -> None:
        self._spec, self._interval = spec, interval
        self._began = self._printed_at = time.monotonic()
        self._resumed_at: float | None = None

    def __call__(self, budget_fraction: float, text: str) -> None:
        """Print a line if the last one is at least `interval` seconds old."""
        now, done = time.monotonic(), min(budget_fraction, 1.0)
        if self._resumed_at is None:
            self._resumed_at = done
        if now - self._printed_at < self._interval:
            return
        self._printed_at, advance = now, done - self._resumed_at
        left = duration((now - self._began) * (1 - done) / advance) if advance > 0 else "unknown"
        print(f"{name_of(self._spec)} at {100 * done:.0f}% ({text}); time left: {left}", flush=True)


def note(console: Console, text: str) -> None:
    """Print text on one line; only the terminal itself may wrap it."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)
