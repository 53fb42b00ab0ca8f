"""Execution of a run, from its spec to its result row."""

import datetime
import gc
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch

from benchmarks import models, tasks
from benchmarks.config import labels
from benchmarks.config.fingerprint import source_fingerprint
from benchmarks.config.methods import origin_of
from benchmarks.config.spec import RunSpec
from benchmarks.data import splits as data
from benchmarks.data.splits import Splits
from benchmarks.errors import UserError
from benchmarks.models import LoadedModel
from benchmarks.profiling.devices import devices_of, hardware_of
from benchmarks.profiling.environment import provenance_fields, versions
from benchmarks.profiling.oom import is_out_of_memory
from benchmarks.profiling.warm_up import warm_up
from benchmarks.results import store
from benchmarks.results.row import SCHEMA
from benchmarks.training.batches import ChooseLengthThreshold
from benchmarks.training.checkpoint import Checkpoints
from benchmarks.training.counters import RunCounters, assignment_fields
from benchmarks.training.loop import Diverged, Log, Progress, Trainer, Unrestorable
from benchmarks.training.majority_fields import majority_by_length, metric_fields
from benchmarks.training.oom_policy import halve_batch
from benchmarks.training.setup import set_up

# (model, its best weights in host memory, its row) -> None
SaveModel = Callable[[LoadedModel, Mapping[str, torch.Tensor] | None, Mapping[str, Any]], None]
# The row's scores on all, on long, and on short test rows.
TESTS = ("test", "test_long", "test_short")


def run(
    spec: RunSpec,
    splits: Splits,
    *,
    suite: str,
    jobs: int = 1,
    progress: Progress | None = None,
    log: Log | None = None,
    checkpoints: Checkpoints | None = None,
    choose_length_threshold: ChooseLengthThreshold | None = None,
    save_model: SaveModel | None = None,
) -> dict[str, Any]:
    """Run a spec and return its row. If training diverges, the row contains the reason.

    If memory runs out, the run restarts with half of the batch that did not fit. If one example does not fit,
    the row has the status "OOM".

    Args:
        spec: the run.
        splits: its data, from `load`.
        suite: name of the suite, recorded in the row.
        jobs: number of runs that share the machine, recorded in the row.
        progress: called after every step and evaluation.
        log: called with the step and named values after every step and evaluation. A run that continues from
            a checkpoint first logs its earlier steps again.
        checkpoints: destination of the state. If `open` found a checkpoint, the run continues from it.
        choose_length_threshold: chooses the threshold if `length_threshold` is "auto:<memory>".
        save_model: saves the tested weights of a run that is done.

    Raises:
        UserError: the spec does not fit its data or model; raised before any training. Or its model cannot be
            saved.
    """
    counters = RunCounters(_batch_sizes(spec), started=utc())
    fields, devices = _trainer_fields(None, splits, "OOM"), devices_of(spec.device)
    start = partial(
        _start,
        spec,
        splits,
        choose_length_threshold=choose_length_threshold,
        progress=progress or (lambda fraction, text: None),
        log=log or (lambda step, **values: None),
        checkpoints=checkpoints,
    )
    while True:
        trainer, status, reason, restart, refused = None, "done", None, False, False
        try:
            trainer = start(counters)
            trainer.train()
            if save_model is not None:
                trainer.phase = "save"
                head = _head(spec, splits, suite, trainer.devices)
                row = head | _trainer_fields(trainer, splits, "done")
                save_model(trainer.setup.scorer.loaded, trainer.best_weights, row)
        except Diverged as error:
            status, reason = "failed", str(error)
        except Unrestorable as error:
            checkpoints.refuse(error)
            counters = RunCounters(_batch_sizes(spec), started=counters.started, began=counters.began)
            refused = True
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            phase = trainer.phase if trainer else "load"
            status, reason = "OOM", f"out of memory in {phase}"
            restart = halve_batch(counters, phase, error)
        if refused:
            # The exception no longer refers to the attempt.
            _free_memory()
            continue
        if trainer is not None:
            fields, devices = _trainer_fields(trainer, splits, status), trainer.devices
        # Free all memory of this attempt, so that the next one, or the next run, can use it.
        del trainer
        if restart or torch.cuda.is_initialized():
            _free_memory()
        if not restart:
            break
        if checkpoints is not None:
            checkpoints.drop()
        counters = counters.restarted()
    return _head(spec, splits, suite, devices) | {
        "status": status,
        "reason": reason,
        **fields,
        **counters.as_fields(),
        "jobs": jobs,
        "ended": utc(),
        "checkpoint_seconds": checkpoints.seconds if checkpoints else 0.0,
    }


def _start(
    spec: RunSpec,
    splits: Splits,
    counters: RunCounters,
    *,
    choose_length_threshold: ChooseLengthThreshold | None,
    progress: Progress,
    log: Log,
    checkpoints: Checkpoints | None,
) -> Trainer:
    """Return a trainer at the start of the run, or where its checkpoint was saved."""
    devices = devices_of(spec.device)
    warm_up(devices, getattr(torch, spec.dtype))
    # Ask for the names of the cards while they work, also for the row of a run that breaks them.
    hardware_of(devices)
    state = checkpoints.take() if checkpoints else None
    if state is not None:
        # Load the counters before batches are drawn, because the batch sizes may have been halved.
        counters.load_state(state["counters"])
    setup = set_up(spec, splits, counters, choose_length_threshold)
    trainer = Trainer(spec, setup, counters, progress=progress, log=log, checkpoints=checkpoints)
    if state is not None:
        trainer.restore(state)
    return trainer


def _trainer_fields(trainer: Trainer | None, splits: Splits, status: str) -> dict[str, Any]:
    """Return the row fields that depend on the attempt; None if loading the model did not finish."""
    if trainer is None:
        names = (
            "score",
            *TESTS,
            "long_above_tokens",
            "demonstrations_shown",
            "peak_how",
            "peak_reserved_bytes",
            "peak_driver_bytes",
        )
        names += ("noise", "heaviest_batches", "train_rows", "parameters", "trained_parameters")
        return dict.fromkeys(names) | majority_by_length(None, splits) | assignment_fields(None)
    setup, spec = trainer.setup, trainer.spec
    assignment = setup.batches.assignment if setup.batches else None
    tests = trainer.tests if status == "done" else {}
    return {
        # With a memory budget, the run may have fit without a threshold.
        "label": labels.label_at(spec, assignment.length_threshold) if assignment else labels.label(spec),
        "score": tests["test"].score if tests else None,
        **{name: score.as_dict() if (score := tests.get(name)) else None for name in TESTS},
        **majority_by_length(setup, splits),
        "long_above_tokens": setup.long_above,
        "demonstrations_shown": setup.demonstrations_shown,
        "peak_how": trainer.memory.how,
        "peak_reserved_bytes": trainer.memory.reserved,
        "peak_driver_bytes": trainer.memory.driver,
        "noise": setup.optimizer.noise if setup.optimizer else None,
        "heaviest_batches": trainer.heaviest_batches(),
        **assignment_fields(assignment),
        "train_rows": len(setup.rows["train"]),
        "parameters": sum(p.numel() for p in setup.model.parameters()),
        "trained_parameters": sum(p.numel() for p in setup.model.parameters() if p.requires_grad),
    }


def unfinished_row(
    spec: RunSpec, splits: Splits, suite: str, reason: str, status: str = "failed"
) -> dict[str, Any]:
    """Return a row for a run that crashed or was killed; it has no measurements."""
    row = _head(spec, splits, suite, devices_of(spec.device))
    return row | {"status": status, "reason": reason, "score": None, "curve": [], "ended": utc()}


def checkpoints_of(
    spec: RunSpec, splits: Splits, suite: str, say: Callable[[str], None], minutes: float = 10.0
) -> Checkpoints:
    """Return the checkpoints of a run; it resumes only if data, sources, and libraries are the same.

    Args:
        spec, splits, suite: the run.
        say: called with a one-line message for the user.
        minutes: minutes between checkpoints, in addition to those after evaluations.
    """
    identity = {
        "data": splits.fingerprint,
        "sources": source_fingerprint(spec),
        # Only a hub model has one, so other checkpoints stay valid.
        **({"model_commit": commit} if (commit := models.commit_of(spec.model)) else {}),
        **versions(),
    }
    return Checkpoints(store.checkpoints(suite), spec.id, identity, say, minutes)


def _batch_sizes(spec: RunSpec) -> dict[str, int]:
    training = {k: spec.settings[k] for k in ("zo_batch_size", "fo_batch_size") if k in spec.settings}
    return training | {"eval_batch_size": spec.eval_batch_size}


def _free_memory() -> None:
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
        # The next run of this process would not reuse pinned buffers of another size.
        torch._C._host_emptyCache()


def _head(spec: RunSpec, splits: Splits, suite: str, devices: Sequence[torch.device]) -> dict[str, Any]:
    """Return the fields of a row that do not depend on the run's results."""
    task = tasks.load(spec.task)
    return {
        "schema": SCHEMA,
        "id": spec.id,
        "suite": suite,
        "config": spec.config(),
        **({"optimizer": origin} if (origin := origin_of(spec.method)) else {}),
        "label": labels.label(spec),
        "task_title": task.title,
        **tasks.versions(task, splits.source),
        **metric_fields(spec, splits),
        **provenance_fields(*devices),
        "model_commit": models.commit_of(spec.model),
        "data_commit": splits.commit,
        "data_fingerprint": splits.fingerprint,
        "source_fingerprint": source_fingerprint(spec),
    }


def utc() -> str:
    """Return the current UTC time in ISO 8601."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def load(spec: RunSpec, folder: str | None) -> Splits:
    """Return the data of a spec. Recent results are cached, so equal data are read once per process.

    Args:
        spec: the run, which selects the rows.
        folder: data folder for `data="folder"`, data file for `data="file"`.

    Raises:
        UserError: the folder is not given, or the rows cannot be read.
    """
    return data.load_splits(spec.task, _source(spec, folder), **_selection(spec))


def data_fingerprint(spec: RunSpec, folder: str | None) -> str:
    """Return the fingerprint of the data that `load` returns, for a caller that does not need the rows."""
    return data.data_fingerprint(spec.task, _source(spec, folder), **_selection(spec))


def _source(spec: RunSpec, folder: str | None) -> str:
    if spec.data == "folder" and folder is None:
        raise UserError("data=folder needs --data DIR or the environment variable ADDAX_DATA")
    if spec.data == "file" and folder is None:
        raise UserError("data=file needs --data FILE")
    return folder if spec.data in ("folder", "file") else spec.data


def _selection(spec: RunSpec) -> dict[str, int | str | None]:
    return {
        "train": spec.train_rows,
        "validation": spec.validation_rows,
        "test": spec.test_rows,
        "seed": spec.data_seed,
        "shots": spec.shots,
        "head": spec.head,
        "revision": spec.data_revision,
    }
