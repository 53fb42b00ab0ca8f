"""Sweep: a suite's runs on an executor; finished runs are skipped, a failed one costs only itself."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from functools import partial

from filelock import Timeout
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks import suites
from benchmarks.config import labels
from benchmarks.config.spec import RunSpec
from benchmarks.config.validation import BUDGETS
from benchmarks.errors import UserError, unknown
from benchmarks.results import store
from benchmarks.sweep.executor import Died, Executor
from benchmarks.sweep.worker import Outcome, work
from benchmarks.training import checkpoint
from benchmarks.training import run as train

FILTERS = ("method", "model", "task", "seed", "label")
# Deaths of a run's process, without a new checkpoint in between, after which it is given up.
DEATHS = 2
# What a lost machine counts of that: as a rule nobody's fault, but a run may take down every one in turn.
LOST_NODE = 0.5
# Seconds that a worker with nothing else to do waits for a run that another sweep is at.
PATIENCE = 5.0


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
    specs = [spec.replace(**changes) for spec in suites.load(suite)]
    for key, values in only.items():
        if key not in FILTERS:
            raise unknown("filter", key, FILTERS)
        known = {_filter_value(spec, key) for spec in specs}
        for value in values:
            if value not in known:
                raise unknown(f"{key} in suite {suite}", value, known)
        specs = [spec for spec in specs if _filter_value(spec, key) in values]
        if not specs:
            raise UserError(f"no run of suite {suite} is left by --only {key}={','.join(values)}")
    return specs


def _filter_value(spec: RunSpec, key: str) -> str:
    return labels.label(spec) if key == "label" else str(getattr(spec, key))


def budget(text: str) -> dict[str, float | None]:
    """What `--budget NAME=AMOUNT` changes in every spec; zero-shot runs have none and stay as they are.

    >>> budget("forward-equivalents=64000")
    {'steps': None, 'seconds': None, 'examples': None, 'forward_equivalents': 64000}

    Raises:
        UserError: no such budget, or no amount of it.
    """
    name, equals, amount = text.partition("=")
    known = [own.replace("_", "-") for own in BUDGETS]
    if not equals or not amount:
        raise UserError(f"--budget wants NAME=AMOUNT, as steps=1000, not {text!r}")
    if name not in known:
        raise unknown("budget", name, known)
    try:
        value = float(amount) if name == "seconds" else int(amount)
    except ValueError:
        whole = "a number" if name == "seconds" else "a whole number"
        raise UserError(f"--budget {name} wants {whole}, not {amount!r}") from None
    if not 0 < value < float("inf"):
        raise UserError(f"--budget {name} must be positive, not {amount}")
    return dict.fromkeys(BUDGETS) | {name.replace("-", "_"): value}


def plan(suite: str, specs: Sequence[RunSpec], folder: str | None) -> Plan:
    """Reads the data of every spec, which refuses what is wrong with them, and looks up finished rows."""
    fingerprints: dict[tuple, str] = {}
    todo, finished = [], []
    for spec in {spec.id: spec for spec in specs}.values():
        sizes = (spec.train_rows, spec.validation_rows, spec.test_rows, spec.shots)
        key = (spec.task, spec.data, *sizes, spec.data_seed)
        if key not in fingerprints:
            fingerprints[key] = train.load(spec, folder).fingerprint
        try:
            done = store.finished(suite, spec, fingerprints[key])
        except UserError:
            # It is damaged; whoever runs it says so and sets it aside.
            done = False
        (finished if done else todo).append(spec)
    return Plan(todo, finished)


def sweep(
    suite: str,
    specs: Sequence[RunSpec],
    *,
    make_executor: Callable[[int], Executor],
    folder: str | None,
    console: Console,
    wandb: str = "disabled",
) -> int:
    """Runs what is not finished.

    Args:
        suite: where the rows go.
        specs: what to run.
        make_executor: makes what runs them, for that many runs.
        folder: where rows lie for `data="folder"`.
        console: for the progress bar.
        wandb: see `benchmarks.sweep.tracking`.

    Returns:
        The number of runs that failed or were killed; what is out of memory is a result.

    Raises:
        UserError: data that cannot be had, or results that cannot be written.
    """
    store.check_writable(suite)
    planned = plan(suite, specs, folder)
    console.print(f"{suite}: {len(planned.todo)} runs to do, {len(planned.finished)} finished before")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    if not planned.todo:
        return 0
    failed, now = 0, True
    executor = make_executor(len(planned.todo))
    try:
        with Progress(*columns, console=console) as bar:
            task = bar.add_task(suite, total=len(planned.todo))
            for spec, outcome in _outcomes(suite, planned.todo, executor, folder, wandb, bar.console):
                name = _name(spec)
                if outcome.status not in (*store.FINISHED, "elsewhere"):
                    failed += 1
                    bar.console.print(f"{outcome.status}: {name}: {outcome.reason}", markup=False)
                elif outcome.status == "OOM":
                    bar.console.print(f"out of memory: {name}: {outcome.reason}", markup=False)
                bar.update(task, advance=1, description=name)
        now = False
    finally:
        executor.close(now)
    return failed


def _outcomes(
    suite: str,
    todo: Sequence[RunSpec],
    executor: Executor,
    folder: str | None,
    wandb: str,
    console: Console,
) -> Iterator[tuple[RunSpec, Outcome]]:
    """(spec, outcome) of each run as it ends; those that died or are another sweep's go to the end again."""
    one = partial(work, suite=suite, folder=folder, jobs=executor.jobs, wandb=wandb, since=train.utc())
    futures: dict[Future, RunSpec] = {executor.submit(one, spec): spec for spec in todo}
    deaths: dict[str, tuple[float, tuple]] = {}
    while futures:
        for future in wait(futures, return_when=FIRST_COMPLETED).done:
            spec = futures.pop(future)
            try:
                outcome = future.result()
            except Died as error:
                outcome = _after_death(suite, spec, folder, error, deaths)
                console.print(f"{_name(spec)}: {error}", markup=False)
            if outcome.status == "busy":
                futures[executor.submit(partial(one, patience=PATIENCE), spec)] = spec
            else:
                yield spec, outcome


def _after_death(
    suite: str, spec: RunSpec, folder: str | None, error: Died, deaths: dict[str, tuple[float, tuple]]
) -> Outcome:
    """Whether a run whose process died is tried again; a run that keeps dying at one place is given up."""
    mark = checkpoint.progress_mark(store.checkpoints(suite), spec.id)
    count, before = deaths.get(spec.id, (0.0, ()))
    count = (count if mark == before else 0.0) + (LOST_NODE if error.node_lost else 1.0)
    deaths[spec.id] = (count, mark)
    if count < DEATHS:
        return Outcome("busy")
    reason = f"{error}, again and again without progress"
    row = train.unfinished_row(spec, train.load(spec, folder), suite, reason, "killed")
    try:
        # Another sweep may have taken the run up since.
        with store.lock(suite, spec.id).acquire(timeout=0):
            if store.finished(suite, spec, row["data_fingerprint"]):
                return Outcome("elsewhere")
            store.write(suite, row)
    except Timeout:
        return Outcome("busy")
    return Outcome("killed", reason)


def _name(spec: RunSpec) -> str:
    return f"{spec.model} {spec.task} {labels.label(spec)}"
