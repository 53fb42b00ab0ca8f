"""One run in a worker: locked, continued from its checkpoint, and its row written."""

import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from filelock import Timeout

from benchmarks.config.spec import RunSpec
from benchmarks.data.splits import Splits
from benchmarks.errors import UserError
from benchmarks.results import store
from benchmarks.sweep import tracking
from benchmarks.training import checkpoint
from benchmarks.training import run as train
from benchmarks.training.loop import Progress


@dataclass(frozen=True)
class Outcome:
    """What became of a run.

    Attributes:
        status: of its row; "elsewhere" where another sweep finished it, "busy" where one is at it.
        reason: why it is not done.
    """

    status: str
    reason: str | None = None


def work(
    spec: RunSpec,
    *,
    suite: str,
    folder: str | None,
    jobs: int,
    wandb: str,
    since: str | None = None,
    patience: float = 0.0,
    progress: Progress | None = None,
) -> Outcome:
    """Runs a spec, unless that is done or another process is at it, and writes its row.

    Args:
        spec: what to run.
        suite: where its row goes.
        folder: where data lie for `data="folder"`.
        jobs: runs that share the machine.
        wandb: see `benchmarks.sweep.tracking`.
        since: when the sweep began, in ISO 8601: a row that ended later is another sweep's, and stands though
            it failed. None for a run by hand, which takes place whatever row there is, and where a user's
            mistake is no row.
        patience: seconds to wait for another process that is at this run.
        progress: called now and then.

    Raises:
        UserError: the data cannot be had, or the row cannot be written; by hand, also whatever of the spec
            does not fit its data or model.
    """
    splits = train.load(spec, folder)
    try:
        with store.lock(suite, spec.id).acquire(timeout=patience):
            standing = _standing(spec, splits, suite, since)
            if standing is not None:
                return standing
            outcome = _run(spec, splits, suite, jobs, wandb, since is None, progress)
    except Timeout:
        return Outcome("busy", "another process is at this run")
    return outcome


def _standing(spec: RunSpec, splits: Splits, suite: str, since: str | None) -> Outcome | None:
    """What another sweep made of the run, if it did; a row that cannot be believed is set aside."""
    try:
        row = store.row_of(suite, spec, splits.fingerprint)
    except UserError as error:
        aside = checkpoint.set_aside(store.folder(suite) / f"{spec.id}.json")
        _say(spec)(f"{error}; set aside as {aside.name}")
        return None
    if row is None or since is None:
        return None
    if row["status"] in store.FINISHED:
        return Outcome("elsewhere")
    return Outcome(row["status"], row["reason"]) if row["ended"] >= since else None


def _run(
    spec: RunSpec,
    splits: Splits,
    suite: str,
    jobs: int,
    wandb: str,
    by_hand: bool,
    progress: Progress | None,
) -> Outcome:
    checkpoints = train.checkpoints_of(spec, splits, suite, _say(spec))
    log = _tracker(wandb).begin(spec, suite, checkpoints.open())
    try:
        row = train.run(
            spec, splits, suite=suite, jobs=jobs, progress=progress, log=log.log, checkpoints=checkpoints
        )
    except UserError as error:
        if by_hand:
            log.finish({"status": "failed", "reason": str(error)})
            raise
        row = train.unfinished_row(spec, splits, suite, str(error))
    except Exception as error:
        # Whatever breaks one run is that run's result; the traceback goes into its row.
        trace = traceback.format_exc(limit=-3)
        row = train.unfinished_row(spec, splits, suite, f"{type(error).__name__}: {error}\n{trace}")
    log.finish(row)
    store.write(suite, row)
    if row["status"] in store.FINISHED:
        checkpoints.drop()
    return Outcome(row["status"], row["reason"])


def _say(spec: RunSpec) -> Callable[[str], None]:
    """Takes a line for the user; said at once, since a run may take days or be killed."""
    return lambda line: print(f"{spec.model} {spec.task} {spec.label}: {line}", file=sys.stderr, flush=True)


@cache
def _tracker(mode: str) -> tracking.Tracker:
    """Return this process's tracker: wandb that has failed once stays off for its later runs."""
    return tracking.Tracker(mode, store.RUNS)
