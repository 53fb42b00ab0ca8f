"""One run in a worker: lock it, continue from its checkpoint, and write its row."""

import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from filelock import Timeout

from benchmarks.config.spec import RunSpec
from benchmarks.data.splits import Splits
from benchmarks.errors import UserError
from benchmarks.memory.search import automatic_threshold
from benchmarks.results import saved, store
from benchmarks.sweep import tracking
from benchmarks.sweep.progress import ProgressFile, name_of
from benchmarks.training import checkpoint, saved_model
from benchmarks.training import run as train
from benchmarks.training.checkpoint import Checkpoints
from benchmarks.training.loop import Progress

# Minutes between checkpoints of a run; each evaluation saves one as well.
CHECKPOINT_MINUTES = 10.0
ModelFolder = Callable[[RunSpec], Path]


@dataclass(frozen=True)
class Outcome:
    """The outcome of a run.

    Attributes:
        status: the status of its row; "elsewhere" if another sweep finished the run, "busy" if another
            process is working on it.
        reason: why the run is not done.
    """

    status: str
    reason: str | None = None


def run_spec(
    spec: RunSpec,
    *,
    suite: str,
    folder: str | None,
    jobs: int,
    wandb: str,
    sweep_started_at: str | None = None,
    lock_timeout: float = 0.0,
    checkpoint_minutes: float = CHECKPOINT_MINUTES,
    progress: Progress | None = None,
    model_folder: ModelFolder | None = None,
) -> Outcome:
    """Run a spec and write its row, unless it is finished or another process is working on it.

    Args:
        spec: the run.
        suite: name of the suite; the row is written to its folder.
        folder: the data folder for `data="folder"`.
        jobs: number of runs that share the machine.
        wandb: the mode, see `benchmarks.sweep.tracking`.
        sweep_started_at: start time of the sweep in ISO 8601. A row that ended later was written by a
            concurrent sweep and is kept even if it failed. None for a manual run, which always runs and
            raises user errors instead of recording them.
        lock_timeout: seconds to wait for another process that is working on this run.
        checkpoint_minutes: minutes between checkpoints; each evaluation saves one as well.
        progress: called after every step and evaluation, in addition to writing the progress file.
        model_folder: returns the folder in which to save the best weights of a spec; None saves none. A
            finished run without its model is repeated. If that fails, its row stays.

    Raises:
        UserError: the data cannot be read, or the row cannot be written. A manual run also raises it if the
            spec does not fit its data or model.
    """
    splits = train.load(spec, folder)
    try:
        with store.lock(suite, spec.id).acquire(timeout=lock_timeout):
            row = _existing_row(spec, splits, suite)
            target = model_folder(spec) if model_folder is not None and saved.is_wanted(spec) else None
            finished = row is not None and row["status"] in store.FINISHED
            if sweep_started_at is not None and row is not None:
                if finished and (row["status"] == "OOM" or _has_model(target, spec, splits)):
                    return Outcome("elsewhere")
                if not finished and row["ended"] >= sweep_started_at:
                    return Outcome(row["status"], row["reason"])
            checkpoints = train.checkpoints_of(spec, splits, suite, partial(_warn, spec), checkpoint_minutes)
            is_manual = sweep_started_at is None
            keep_row = finished and not is_manual
            return _run(spec, splits, checkpoints, suite, jobs, wandb, is_manual, progress, target, keep_row)
    except Timeout:
        return Outcome("busy", "another process is working on this run")


def _has_model(target: Path | None, spec: RunSpec, splits: Splits) -> bool:
    """Return whether a finished run has its model, or needs none."""
    return target is None or saved.is_of(target, spec, splits.fingerprint)


def _existing_row(spec: RunSpec, splits: Splits, suite: str) -> dict[str, Any] | None:
    """Return the suite's row of a run, if any; rename a damaged row and return None."""
    try:
        return store.row_of(suite, spec, splits.fingerprint)
    except UserError as error:
        damaged = checkpoint.set_aside(store.folder(suite) / f"{spec.id}.json")
        _warn(spec, f"{error}; renamed to {damaged.name}; running it again")
        return None


def _run(
    spec: RunSpec,
    splits: Splits,
    checkpoints: Checkpoints,
    suite: str,
    jobs: int,
    wandb: str,
    is_manual: bool,
    progress: Progress | None,
    target: Path | None,
    keep_row: bool,
) -> Outcome:
    """Run a spec, and write its row and its model.

    Args:
        spec, splits, checkpoints, suite, jobs, wandb, progress: see `run_spec`.
        is_manual: whether user errors are raised instead of recorded.
        target: folder for the model; None saves none.
        keep_row: whether the run has a finished row, which a failure must not replace.
    """
    checkpoints.open()
    log = _tracker(wandb).begin(spec, suite, checkpoints.folder)
    with ProgressFile(suite, spec) as file:

        def report(budget_fraction: float, text: str) -> None:
            file.update(budget_fraction, text)
            if progress is not None:
                progress(budget_fraction, text)

        def log_step(step: int, **values: float | None) -> None:
            file.log(step)
            log.log(step, **values)

        try:
            row = train.run(
                spec,
                splits,
                suite=suite,
                jobs=jobs,
                progress=report,
                log=log_step,
                checkpoints=checkpoints,
                choose_length_threshold=automatic_threshold,
                save_model=None if target is None else partial(saved_model.save, target, spec),
            )
        except UserError as error:
            if is_manual:
                log.finish({"status": "failed", "reason": str(error)})
                raise
            row = train.unfinished_row(spec, splits, suite, str(error))
        except Exception as error:
            # An error fails this run only; its row keeps the traceback.
            trace = traceback.format_exc(limit=-3)
            row = train.unfinished_row(spec, splits, suite, f"{type(error).__name__}: {error}\n{trace}")
    # Write the row first: wandb may take a minute to finish, and the row must survive a kill.
    if row["status"] in store.FINISHED or not keep_row:
        store.write(suite, row)
    if row["status"] in store.FINISHED:
        checkpoints.drop()
    log.finish(row)
    return Outcome(row["status"], row["reason"])


def _warn(spec: RunSpec, line: str) -> None:
    """Print a line on stderr immediately, since a run may take days or be killed."""
    print(f"{name_of(spec)}: {line}", file=sys.stderr, flush=True)


@cache
def _tracker(mode: str) -> tracking.Tracker:
    """Return this process's tracker; it is shared by all its runs, so tracking stays off after a failure."""
    return tracking.Tracker(mode, store.RUNS)
