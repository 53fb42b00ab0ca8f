"""The sweep scheduler: run a suite's specs on an executor, skip finished runs, and survive failed ones."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from filelock import Timeout
from rich.console import Console

from benchmarks import suites
from benchmarks.config import labels
from benchmarks.config.names import BUDGETS, ZERO_SHOT
from benchmarks.config.spec import RunSpec
from benchmarks.errors import UserError, unknown
from benchmarks.results import store
from benchmarks.sweep.display import LINE_INTERVAL, SweepDisplay, note
from benchmarks.sweep.executor import Died, Executor
from benchmarks.sweep.progress import SweepProgress, name_of
from benchmarks.sweep.worker import CHECKPOINT_MINUTES, Outcome, run_spec
from benchmarks.training import checkpoint
from benchmarks.training import run as train

FILTERS = ("method", "model", "task", "seed", "label")
# Give up a run when its process has died this often without a new checkpoint in between.
MAX_DEATHS = 2
# A lost machine counts as this fraction of a death. It is rarely the run's fault, but without any weight one
# run could take down every machine.
LOST_NODE_WEIGHT = 0.5
# Seconds that an idle worker waits for a run that another sweep is working on.
LOCK_TIMEOUT = 5.0


@dataclass(frozen=True)
class Pending:
    """The specs that a sweep will run, and those that it will skip.

    Attributes:
        todo: specs to run.
        finished: specs that have a finished row with the same spec, data, and sources.
        outdated: number of specs to run that have a finished row with other data or sources.
    """

    todo: list[RunSpec]
    finished: list[RunSpec]
    outdated: int = 0

    @property
    def summary(self) -> str:
        """The numbers of these runs in words."""
        again = ""
        if self.outdated:
            again = f" ({self.outdated} again, because their data, their task, or other code has changed)"
        return f"{len(self.todo)} runs to do{again}, {len(self.finished)} already finished"


def specs_of(
    suite: str,
    changes: Mapping[str, object],
    only: Mapping[str, Sequence[str]],
    defaults: Mapping[str, object] = MappingProxyType({}),
) -> list[RunSpec]:
    """Return a suite's specs after changing and filtering them.

    Args:
        suite: name of the suite.
        changes: fields to change in every spec, such as data and device; zero-shot runs have no budget.
        only: filters, from the name of a filter to the values to keep.
        defaults: fields to change in the specs that do not set them.

    Raises:
        UserError: the suite, a filter, or a value is unknown, or no spec is left.
    """
    specs = [_changed(spec, changes, defaults) for spec in suites.load(suite)]
    for key, values in only.items():
        if key not in FILTERS:
            raise unknown("filter", key, FILTERS)
        known = {_filter_value(spec, key) for spec in specs}
        for value in values:
            if value not in known:
                raise unknown(f"{key} in suite {suite}", value, known)
        specs = [spec for spec in specs if _filter_value(spec, key) in values]
        if not specs:
            raise UserError(
                f"no run of suite {suite} matches --only {key}={','.join(values)} and the filters before it"
            )
    return specs


def _changed(spec: RunSpec, changes: Mapping[str, object], defaults: Mapping[str, object]) -> RunSpec:
    values = {key: value for key, value in defaults.items() if key not in spec.given} | dict(changes)
    if spec.method == ZERO_SHOT:
        values = {key: value for key, value in values.items() if key not in BUDGETS}
    return spec.replace(**values) if values else spec


def _filter_value(spec: RunSpec, key: str) -> str:
    return labels.label(spec) if key == "label" else str(getattr(spec, key))


def budget(text: str) -> dict[str, float | None]:
    """Return the fields of a spec that `--budget NAME=AMOUNT` sets; zero-shot runs have no budget.

    >>> budget("forward-equivalents=64000")
    {'steps': None, 'seconds': None, 'examples': None, 'forward_equivalents': 64000}

    Raises:
        UserError: the budget is unknown, or the amount is not valid.
    """
    name, equals, amount = text.partition("=")
    known = [field.replace("_", "-") for field in BUDGETS]
    if not equals or not amount:
        raise UserError(f"--budget must be NAME=AMOUNT (such as steps=1000), not {text!r}")
    if name not in known:
        raise unknown("budget", name, known)
    try:
        value = float(amount) if name == "seconds" else int(amount)
    except ValueError:
        number = "a number" if name == "seconds" else "a whole number"
        raise UserError(f"--budget {name} must be {number}, not {amount!r}") from None
    if not 0 < value < float("inf"):
        raise UserError(f"--budget {name} must be positive, not {amount}")
    return dict.fromkeys(BUDGETS) | {name.replace("-", "_"): value}


def pending(suite: str, specs: Sequence[RunSpec], folder: str | None) -> Pending:
    """Split specs into those to run and those with a finished row; duplicates count once.

    Raises:
        UserError: the data of a spec cannot be read.
    """
    todo, finished, outdated = [], [], 0
    for spec in {spec.id: spec for spec in specs}.values():
        data_fingerprint = train.data_fingerprint(spec, folder)
        try:
            is_finished = store.finished(suite, spec, data_fingerprint)
            outdated += not is_finished and store.has_finished_row(suite, spec)
        except UserError:
            # The row is damaged; the worker reports and renames it.
            is_finished = False
        (finished if is_finished else todo).append(spec)
    return Pending(todo, finished, outdated)


def sweep(
    suite: str,
    specs: Sequence[RunSpec],
    *,
    make_executor: Callable[[int], Executor],
    folder: str | None,
    console: Console,
    wandb: str = "disabled",
    checkpoint_minutes: float = CHECKPOINT_MINUTES,
    line_interval: float = LINE_INTERVAL,
) -> int:
    """Run the specs that are not finished.

    A terminal gets a progress bar; any other output gets a line every `line_interval` seconds.

    Args:
        suite: name of the suite; the rows are written to its folder.
        specs: the specs of the sweep.
        make_executor: returns an executor, given the number of runs.
        folder: the data folder for `data="folder"`.
        console: prints progress, failures, and retries.
        wandb: the mode, see `benchmarks.sweep.tracking`.
        checkpoint_minutes: see `benchmarks.sweep.worker.run_spec`.
        line_interval: seconds between lines of progress.

    Returns:
        The number of runs that failed or were killed. Out of memory is a result, not a failure.

    Raises:
        UserError: the data cannot be read, or results cannot be written.
    """
    store.check_writable(suite)
    split = pending(suite, specs, folder)
    note(console, f"{suite}: {split.summary}")
    if not split.todo:
        return 0
    progress, interrupted = SweepProgress(suite, split.todo), True
    executor = make_executor(len(split.todo))
    run = partial(
        run_spec,
        suite=suite,
        folder=folder,
        jobs=executor.jobs,
        wandb=wandb,
        sweep_started_at=train.utc(),
        checkpoint_minutes=checkpoint_minutes,
    )
    try:
        with SweepDisplay(progress, console, line_interval) as display:
            for spec, outcome in _Runs(run, suite, folder, executor, display).outcomes(split.todo):
                failed = outcome.status not in (*store.FINISHED, "elsewhere")
                progress.end(spec, failed)
                if failed or outcome.status == "OOM":
                    status = "out of memory" if outcome.status == "OOM" else outcome.status
                    note(console, f"{status}: {name_of(spec)}: {outcome.reason}")
            display.end()
        interrupted = False
    finally:
        executor.close(interrupted)
    return progress.failed


class _Runs:
    """The runs of one sweep on its executor, with a count of the deaths of their processes."""

    def __init__(
        self,
        run: Callable[..., Outcome],
        suite: str,
        folder: str | None,
        executor: Executor,
        display: SweepDisplay,
    ) -> None:
        self.run, self.suite, self.folder = run, suite, folder
        self.executor, self.display = executor, display
        # Spec id -> weighted deaths since the last new checkpoint, and a mark that identifies the checkpoint.
        self.deaths: dict[str, tuple[float, tuple]] = {}

    def outcomes(self, todo: Sequence[RunSpec]) -> Iterator[tuple[RunSpec, Outcome]]:
        """Yield (spec, outcome) of each run as it ends, and print progress in the meantime.

        A run moves to the end of the queue if its process died or if another sweep is working on it.
        """
        futures: dict[Future, RunSpec] = {self.executor.submit(self.run, spec): spec for spec in todo}
        next_show = time.monotonic() + self.display.interval
        while futures:
            timeout = max(0.0, next_show - time.monotonic())
            for future in wait(futures, timeout, return_when=FIRST_COMPLETED).done:
                spec = futures.pop(future)
                try:
                    outcome = future.result()
                except Died as error:
                    self.display.progress.died(spec)
                    outcome = self._after_death(spec, error)
                    note(self.display.console, f"{name_of(spec)}: {error}")
                if outcome.status == "busy":
                    retry = partial(self.run, lock_timeout=LOCK_TIMEOUT)
                    futures[self.executor.submit(retry, spec)] = spec
                else:
                    yield spec, outcome
            if futures and time.monotonic() >= next_show:
                self.display.show()
                next_show = time.monotonic() + self.display.interval

    def _after_death(self, spec: RunSpec, error: Died) -> Outcome:
        """Return "busy" to retry a run whose process died, or write a "killed" row if it keeps dying."""
        mark = checkpoint.progress_mark(store.checkpoints(self.suite), spec.id)
        count, before = self.deaths.get(spec.id, (0.0, ()))
        count = (count if mark == before else 0.0) + (LOST_NODE_WEIGHT if error.node_lost else 1.0)
        self.deaths[spec.id] = (count, mark)
        if count < MAX_DEATHS:
            return Outcome("busy")
        reason = f"{error}, again and again without progress"
        row = train.unfinished_row(spec, train.load(spec, self.folder), self.suite, reason, "killed")
        try:
            # Another sweep may have finished the run in the meantime.
            with store.lock(self.suite, spec.id).acquire(timeout=0):
                if store.finished(self.suite, spec, row["data_fingerprint"]):
                    return Outcome("elsewhere")
                store.write(self.suite, row)
        except Timeout:
            return Outcome("busy")
        return Outcome("killed", reason)
