"""The sweep scheduler: run a suite's specs on an executor, skip finished runs, and survive failed ones."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from functools import partial

from filelock import Timeout
from rich.console import Console

from benchmarks.config.spec import RunSpec
from benchmarks.errors import UserError
from benchmarks.results import saved, store
from benchmarks.sweep import downloads
from benchmarks.sweep.display import LINE_INTERVAL, SweepDisplay, note
from benchmarks.sweep.estimate import Estimate
from benchmarks.sweep.executor import Died, Executor
from benchmarks.sweep.progress import SweepProgress, duration, name_of
from benchmarks.sweep.worker import CHECKPOINT_MINUTES, Outcome, run_spec
from benchmarks.training import checkpoint, saved_model
from benchmarks.training import run as train

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
        unsaved: number of specs to run that are finished, but whose model is missing.
    """

    todo: list[RunSpec]
    finished: list[RunSpec]
    outdated: int = 0
    unsaved: int = 0

    @property
    def summary(self) -> str:
        """The numbers of these runs in words."""
        reasons = []
        if self.outdated:
            reasons.append(
                f"{self.outdated} again, because their data, their task, or other code has changed"
            )
        if self.unsaved:
            reasons.append(f"{self.unsaved} again, because their models are not saved")
        again = f" ({'; '.join(reasons)})" if reasons else ""
        return f"{len(self.todo)} runs to do{again}, {len(self.finished)} already finished"


def pending(
    suite: str,
    specs: Sequence[RunSpec],
    folder: str | None,
    save_models: bool = False,
    *,
    lacks_data: Callable[[RunSpec], bool] = lambda spec: False,
) -> Pending:
    """Split specs into those to run and those with a finished row; duplicates count once.

    Args:
        suite, specs, folder: see `sweep`.
        save_models: whether a run also needs its saved model to be finished.
        lacks_data: returns whether the data of a spec would be downloaded. Such a spec counts as finished if
            it has a finished row, whatever its data.

    Raises:
        UserError: the data of a spec cannot be read.
    """
    todo, finished, outdated, unsaved = [], [], 0, 0
    for spec in {spec.id: spec for spec in specs}.values():
        data_fingerprint = None if lacks_data(spec) else train.data_fingerprint(spec, folder)
        try:
            has_row = store.has_finished_row(suite, spec)
            is_finished = has_row
            if data_fingerprint is not None:
                is_finished = store.finished(suite, spec, data_fingerprint)
            outdated += has_row and not is_finished
        except UserError:
            # The row is damaged; the worker reports and renames it.
            is_finished = False
        if save_models and is_finished and saved.is_missing(suite, spec, data_fingerprint):
            unsaved, is_finished = unsaved + 1, False
        (finished if is_finished else todo).append(spec)
    return Pending(todo, finished, outdated, unsaved)


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
    preview: Callable[[Sequence[RunSpec]], Estimate | None] | None = None,
    save_models: bool = False,
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
        preview: prints what the runs to do need before they start, see `benchmarks.sweep.preview`.
        save_models: whether to save the best weights of each run, and to repeat finished runs without them.

    Returns:
        The number of runs that failed or were killed. Out of memory is a result, not a failure.

    Raises:
        UserError: the data cannot be read, results cannot be written, or the models do not fit on the disk.
    """
    store.check_writable(suite)
    split, expected = pending(suite, specs, folder, save_models, lacks_data=downloads.lacks_data), None
    if save_models:
        wanted = [spec for spec in split.todo if saved.is_wanted(spec)]
        for spec in wanted:
            saved.check_spec(spec)
        saved_model.check_space(store.folder(suite), wanted)
    if preview is not None and split.todo:
        expected = preview(split.todo)
    if any(map(downloads.lacks_data, specs)):
        # This downloads the data.
        split = pending(suite, specs, folder, save_models)
    note(console, f"{suite}: {split.summary}")
    if not split.todo:
        return 0
    began = time.monotonic()
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
        model_folder=partial(saved.folder, suite) if save_models else None,
    )
    try:
        with SweepDisplay(progress, console, line_interval) as display:
            runs = _Runs(run, suite, folder, executor, display, save_models)
            for spec, outcome in runs.outcomes(split.todo):
                failed = outcome.status not in (*store.FINISHED, "elsewhere")
                progress.end(spec, failed)
                if failed or outcome.status == "OOM":
                    status = "out of memory" if outcome.status == "OOM" else outcome.status
                    note(console, f"{status}: {name_of(spec)}: {outcome.reason}")
            display.end()
        interrupted = False
        if expected is not None and not expected.unknown:
            took = duration(time.monotonic() - began)
            note(console, f"{suite}: took {took} (estimated {duration(expected.seconds)})")
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
        save_models: bool,
    ) -> None:
        self.run, self.suite, self.folder, self.save_models = run, suite, folder, save_models
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
                    # A finished row stays, also if only its model is missing.
                    missing = self.save_models and saved.is_missing(self.suite, spec, row["data_fingerprint"])
                    return Outcome("killed", reason) if missing else Outcome("elsewhere")
                store.write(self.suite, row)
        except Timeout:
            return Outcome("busy")
        return Outcome("killed", reason)
