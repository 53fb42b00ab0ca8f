"""One spec in, one result row out."""

import datetime
import gc
import time
from collections.abc import Callable
from typing import Any

import torch

from benchmarks import tasks
from benchmarks.config import labels
from benchmarks.config.fingerprint import source_fingerprint
from benchmarks.config.spec import RunSpec
from benchmarks.data.splits import Splits, load_splits
from benchmarks.errors import UserError
from benchmarks.memory import estimator as memory_model
from benchmarks.profiling.oom import OutOfMemory, attempt, smaller
from benchmarks.profiling.peak_memory import provenance
from benchmarks.results import store
from benchmarks.training.checkpoint import Checkpoints
from benchmarks.training.counters import Tally, pools
from benchmarks.training.loop import Attempt, Diverged, Log, Progress, Unrestorable


def run(
    spec: RunSpec,
    splits: Splits,
    *,
    suite: str,
    jobs: int = 1,
    progress: Progress | None = None,
    log: Log | None = None,
    checkpoints: Checkpoints | None = None,
) -> dict[str, Any]:
    """Runs a spec and returns its row; a run that fails by itself is a row with its reason.

    Where memory runs out, the batch that asked for it is halved and the run begins anew; one that does not
    fit at a batch of 1 is a row with status "OOM".

    Args:
        spec: what to run.
        splits: its data, from `load`.
        suite: recorded in the row.
        jobs: runs that shared the machine, recorded.
        progress: called now and then.
        log: called with the step and named values after every step and evaluation.
        checkpoints: where the state is kept on the way; one that was opened is continued.

    Raises:
        UserError: the spec does not fit its data or model, found before any training.
    """
    tally = Tally(sizes=_sizes(spec), started=utc())
    begin = time.perf_counter()
    known = _known(None, "OOM")
    while True:
        status, reason, left = "done", None, None
        running = None
        try:
            running = Attempt(
                spec,
                splits,
                tally,
                progress=progress or (lambda share, text: None),
                log=log or (lambda step, **values: None),
                checkpoints=checkpoints,
            )
            running.train()
        except Diverged as error:
            status, reason = "failed", str(error)
        except Unrestorable as error:
            checkpoints.refuse(error)
            tally = Tally(sizes=_sizes(spec), started=tally.started)
            continue
        except OutOfMemory as error:
            status, reason = "OOM", f"out of memory in {error.part}"
            tally.tried.append(attempt(tally.sizes, error.part, error.bytes_asked))
            left = smaller(tally.sizes, error.part)
        if running is not None:
            known = _known(running, status)
        if left is None:
            wall_seconds = tally.wall_seconds + time.perf_counter() - begin
            known |= predicted(running) if running is not None else {}
            break
        # Nothing of the attempt may stay where the next one has to fit.
        del running
        _free()
        if checkpoints is not None:
            checkpoints.drop()
        tally = Tally(left, tally.tried, started=tally.started, wall_seconds=tally.wall_seconds)
    return _head(spec, splits, suite) | {
        "status": status,
        "reason": reason,
        **known,
        **tally.as_fields(),
        "jobs": jobs,
        "started": tally.started,
        "ended": utc(),
        "wall_seconds": wall_seconds,
        "checkpoint_seconds": checkpoints.seconds if checkpoints else 0.0,
    }


def _known(running: Attempt | None, status: str) -> dict[str, Any]:
    """The fields of a row that only the attempt itself knows; null where it did not come about."""
    if running is None:
        names = ("score", "test", "peak_how", "peak_reserved_bytes", "peak_driver_bytes", "peak_predicted")
        names += ("peak_predicted_split", "skipped_steps", "train_rows", "parameters", "trained_parameters")
        return dict.fromkeys(names) | pools(None)
    optimizer = running.optimizer
    tested = running.test if status == "done" else None
    # Chosen for a budget of memory, no threshold at all may have been needed.
    label = (
        labels.label_at(running.spec, running.assignment.length_threshold)
        if optimizer
        else labels.label(running.spec)
    )
    return {
        "label": label,
        "score": tested.score if tested else None,
        "test": tested.as_dict() if tested else None,
        "peak_how": running.memory.how,
        "peak_reserved_bytes": running.memory.reserved,
        "peak_driver_bytes": running.memory.driver,
        "peak_predicted": None,
        "peak_predicted_split": None,
        "skipped_steps": int(optimizer.skipped_steps) if optimizer and running.tally.steps else 0,
        **pools(running.assignment),
        "train_rows": len(running.rows["train"]),
        "parameters": sum(p.numel() for p in running.model.parameters()),
        "trained_parameters": sum(p.numel() for p in running.model.parameters() if p.requires_grad),
    }


def predicted(running: Attempt) -> dict[str, Any]:
    """What `memory_model` says of the run's heaviest batches; nothing where there are none.

    A model of a user's own may do what tensors without values cannot: the run stands without a prediction.
    """
    if running.optimizer is None or not (batches := running.heaviest_batches()):
        return {}
    device = "cuda" if running.device.type == "cuda" else "cpu"
    try:
        found = memory_model.of_config(running.spec, running.model.config, batches, device)
    except Exception:
        return {}
    return {"peak_predicted": found.peak_bytes, "peak_predicted_split": dict(found.split)}


def unfinished_row(
    spec: RunSpec, splits: Splits, suite: str, reason: str, status: str = "failed"
) -> dict[str, Any]:
    """The row of a run that broke, or whose process died, without a word on what it measured."""
    row = _head(spec, splits, suite)
    return row | {"status": status, "reason": reason, "score": None, "curve": [], "ended": utc()}


def checkpoints_of(spec: RunSpec, splits: Splits, suite: str, say: Callable[[str], None]) -> Checkpoints:
    """Where a run's state is kept: it may be continued where data, sources and libraries are the same."""
    identity = {
        "data": splits.fingerprint,
        "sources": source_fingerprint(spec),
        **provenance()["versions"],
    }
    return Checkpoints(store.checkpoints(suite), spec.id, identity, say)


def _sizes(spec: RunSpec) -> dict[str, int]:
    own = {k: spec.settings[k] for k in ("zo_batch_size", "fo_batch_size") if k in spec.settings}
    return own | {"eval_batch_size": spec.eval_batch_size}


def _free() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _head(spec: RunSpec, splits: Splits, suite: str) -> dict[str, Any]:
    task = tasks.load(spec.task)
    return {
        "id": spec.id,
        "suite": suite,
        "config": spec.config(),
        "label": labels.label(spec),
        "task_title": task.title,
        "task_version": task.version,
        "metric": task.metric,
        **provenance(),
        "data_fingerprint": splits.fingerprint,
        "source_fingerprint": source_fingerprint(spec),
    }


def utc() -> str:
    """Now, in ISO 8601."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def load(spec: RunSpec, folder: str | None) -> Splits:
    """The rows of a spec.

    Args:
        spec: says which.
        folder: where rows lie for `data="folder"`.

    Raises:
        UserError: the folder is not given, or the rows cannot be had.
    """
    if spec.data == "folder" and folder is None:
        raise UserError("data=folder needs --data DIR or the environment variable ADDAX_DATA")
    return load_splits(
        spec.task,
        folder if spec.data == "folder" else spec.data,
        train=spec.train_rows,
        validation=spec.validation_rows,
        test=spec.test_rows,
        seed=spec.data_seed,
        shots=spec.shots,
    )
