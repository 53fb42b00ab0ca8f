"""Sweep: a suite's runs on persistent workers; finished runs are skipped, a failed one costs only itself."""

import dataclasses
import multiprocessing
import os
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.synchronize import Event

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks import registry, store, train
from benchmarks.errors import UserError, unknown
from benchmarks.spec import RunSpec

FILTERS = ("method", "model", "task", "seed", "label")


@dataclass(frozen=True)
class Plan:
    """What a sweep will do.

    Attributes:
        todo: specs to run.
        finished: specs whose rows are there already, equal in spec, data and sources.
    """

    todo: list[RunSpec]
    finished: list[RunSpec]


def specs_of(suite: str, changes: Mapping[str, object], only: Mapping[str, Sequence[str]]) -> list[RunSpec]:
    """A suite's specs with some fields changed for all (data, device), filtered.

    Raises:
        UserError: unknown suite or filter, or a filter that leaves nothing.
    """
    specs = [dataclasses.replace(spec, **changes) for spec in registry.module("suite", suite).specs()]
    for key, values in only.items():
        if key not in FILTERS:
            raise unknown("filter", key, FILTERS)
        known = {str(getattr(spec, key)) for spec in specs}
        for value in values:
            if value not in known:
                raise unknown(f"{key} in suite {suite}", value, known)
        specs = [spec for spec in specs if str(getattr(spec, key)) in values]
        if not specs:
            raise UserError(f"no run of suite {suite} is left by --only {key}={','.join(values)}")
    return specs


def plan(suite: str, specs: Sequence[RunSpec], folder: str | None) -> Plan:
    """Reads the data of every spec, which refuses what is wrong with them, and looks up finished rows."""
    fingerprints: dict[tuple, str] = {}
    todo, finished = [], []
    for spec in {spec.id: spec for spec in specs}.values():
        key = (spec.task, spec.data, spec.train_rows, spec.validation_rows, spec.test_rows, spec.data_seed)
        if key not in fingerprints:
            fingerprints[key] = train.load(spec, folder).fingerprint
        done = store.finished(suite, spec, fingerprints[key])
        (finished if done else todo).append(spec)
    return Plan(todo, finished)


def sweep(suite: str, specs: Sequence[RunSpec], *, jobs: int, folder: str | None, console: Console) -> int:
    """Runs what is not finished.

    Args:
        suite: where the rows go.
        specs: what to run.
        jobs: worker processes; the machine's cores are shared out among them.
        folder: where rows lie for `data="folder"`.
        console: for the progress bar.

    Returns:
        The number of runs that failed.

    Raises:
        UserError: data that cannot be had, or a worker that died.
    """
    todo = plan(suite, specs, folder)
    console.print(f"{suite}: {len(todo.todo)} runs to do, {len(todo.finished)} finished before")
    if not todo.todo:
        return 0
    jobs = min(jobs, len(todo.todo))
    failed = 0
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    with (
        Progress(*columns, console=console) as bar,
        ProcessPoolExecutor(jobs, context, initializer=_begin_worker, initargs=(jobs, stop)) as pool,
    ):
        task = bar.add_task(suite, total=len(todo.todo))
        futures = [pool.submit(_work, spec, suite, folder, jobs) for spec in todo.todo]
        try:
            for future in as_completed(futures):
                name, reason = future.result()
                if reason:
                    failed += 1
                    bar.console.print(f"failed: {name}: {reason}", markup=False)
                bar.update(task, advance=1, description=name)
        except BrokenProcessPool:
            raise UserError(
                "a worker process died, perhaps for lack of memory: finished runs are kept, the same command "
                "continues (with fewer --jobs where memory is short)"
            ) from None
        except KeyboardInterrupt:
            # Whoever sent the signal may have sent it to this process alone.
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return failed


def _begin_worker(jobs: int, stop: Event) -> None:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    for wait in (multiprocessing.parent_process().join, stop.wait):
        threading.Thread(target=_end_after, args=(wait,), daemon=True).start()
    import torch

    torch.set_num_threads(max(1, (os.cpu_count() or 1) // jobs))


def _end_after(wait: Callable[[], object]) -> None:
    """A worker whose sweep was stopped or killed would go on, beside the sweep that is started next."""
    wait()
    os._exit(1)


def _work(spec: RunSpec, suite: str, folder: str | None, jobs: int) -> tuple[str, str | None]:
    """One run in a worker: writes its row; (what it was, why it failed or None)."""
    name = f"{spec.model} {spec.task} {spec.label}"
    splits = train.load(spec, folder)
    try:
        row = train.run(spec, splits, suite=suite, jobs=jobs)
    except UserError as error:
        row = train.failed_row(spec, splits, suite, str(error))
    except Exception as error:
        # Whatever breaks one run is that run's result; the traceback goes into its row.
        trace = traceback.format_exc(limit=-3)
        row = train.failed_row(spec, splits, suite, f"{type(error).__name__}: {error}\n{trace}")
    store.write(suite, row)
    return name, row["reason"]
