"""Print how far a sweep or a run is: a bar on a terminal, whole lines at intervals elsewhere."""

import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.config.spec import RunSpec
from benchmarks.sweep.progress import SweepProgress, duration, name_of

# Seconds between two lines where the output is not a terminal, and between two updates of a bar.
LINE_INTERVAL, BAR_INTERVAL = 30.0, 1.0


class SweepDisplay:
    """The output of a sweep.

    Args:
        progress: how far the sweep is.
        console: where it is printed.
        line_interval: seconds between two lines where that is not a terminal.

    Attributes:
        interval: seconds between two calls of `show`.
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
        """Show how far the sweep is."""
        if self.console.is_terminal:
            current = self.progress.current()
            text = f"{name_of(current[0][0])} {current[0][1].text}" if current else self.progress.suite
            self._bar.update(self._task, completed=self.progress.done, description=text)
        else:
            note(self.console, self.progress.line())

    def end(self) -> None:
        """Say that all runs have ended, where no bar does."""
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

    Args:
        spec: the run.
        interval: seconds.
    """

    def __init__(self, spec: RunSpec, interval: float = LINE_INTERVAL) -> None:
        self._spec, self._interval = spec, interval
        self._began = self._printed_at = time.monotonic()
        self._resumed_at: float | None = None

    def __call__(self, budget_fraction: float, text: str) -> None:
        """Print a line if it is time for one."""
        now, done = time.monotonic(), min(budget_fraction, 1.0)
        if self._resumed_at is None:
            self._resumed_at = done
        if now - self._printed_at < self._interval:
            return
        self._printed_at, advance = now, done - self._resumed_at
        left = duration((now - self._began) * (1 - done) / advance) if advance > 0 else "unknown"
        print(f"{name_of(self._spec)} at {100 * done:.0f}% ({text}); time left: {left}", flush=True)


def note(console: Console, text: str) -> None:
    """Print one line, which a terminal may wrap, and a file may not."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)
