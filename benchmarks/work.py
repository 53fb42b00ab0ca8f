"""One run in a worker: locked, continued from its checkpoint, and its row written."""

import traceback
from dataclasses import dataclass
from functools import cache
from multiprocessing.util import Finalize

from filelock import Timeout

from benchmarks import checkpoint, store, tracking, train
from benchmarks.data import Splits
from benchmarks.errors import UserError
from benchmarks.loop import Progress
from benchmarks.spec import RunSpec


@dataclass(frozen=True)
class Outcome:
    """What became of a run.

    Attributes:
        status: of its row; "elsewhere" where another sweep finished it, "busy" where one is at it.
        reason: why it is not done.
        notes: lines for the user.
    """

    status: str
    reason: str | None = None
    notes: tuple[str, ...] = ()


def work(
    spec: RunSpec,
    *,
    suite: str,
    folder: str | None,
    jobs: int,
    wandb: str,
    patience: float = 0.0,
    by_hand: bool = False,
    progress: Progress | None = None,
) -> Outcome:
    """Runs a spec, unless that is done or another process is at it, and writes its row.

    Args:
        spec: what to run.
        suite: where its row goes.
        folder: where data lie for `data="folder"`.
        jobs: runs that share the machine.
        wandb: see `benchmarks.tracking`.
        patience: seconds to wait for another process that is at this run.
        by_hand: runs it though it is finished, and a user's mistake is no row.
        progress: called now and then.

    Raises:
        UserError: the data cannot be had, or the row cannot be written; by hand, also whatever of the spec
            does not fit its data or model.
    """
    splits = train.load(spec, folder)
    try:
        with store.lock(suite, spec.id).acquire(timeout=patience):
            return _locked(spec, splits, suite, jobs, wandb, by_hand, progress)
    except Timeout:
        return Outcome("busy", "another process is at this run")


def _locked(
    spec: RunSpec,
    splits: Splits,
    suite: str,
    jobs: int,
    wandb: str,
    by_hand: bool,
    progress: Progress | None,
) -> Outcome:
    notes: list[str] = []
    try:
        if store.finished(suite, spec, splits.fingerprint) and not by_hand:
            return Outcome("elsewhere")
    except UserError:
        aside = checkpoint.set_aside(store.folder(suite) / f"{spec.id}.json")
        notes.append(f"its damaged row is set aside as {aside.name}")
    checkpoints = train.checkpoints_of(spec, splits, suite, notes.append)
    log = _tracker(wandb).begin(spec, suite, checkpoints.open())
    try:
        row = train.run(
            spec, splits, suite=suite, jobs=jobs, progress=progress, log=log.log, checkpoints=checkpoints
        )
    except UserError as error:
        if by_hand:
            raise
        row = train.unfinished_row(spec, splits, suite, str(error))
    except Exception as error:
        # Whatever breaks one run is that run's result; the traceback goes into its row.
        trace = traceback.format_exc(limit=-3)
        row = train.unfinished_row(spec, splits, suite, f"{type(error).__name__}: {error}\n{trace}")
    log.finish(row)
    store.write(suite, row)
    if row["status"] in store.FINISHED:
        checkpoints.remove()
    return Outcome(row["status"], row["reason"], tuple(notes))


@cache
def _tracker(mode: str) -> tracking.Tracker:
    """This process's tracker, over all its runs."""
    tracker = tracking.Tracker(mode, store.RUNS / "wandb")
    # At the end of this process, a worker's or not, what is still to be written is waited for.
    Finalize(None, tracker.close, exitpriority=10)
    return tracker
