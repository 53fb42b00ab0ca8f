"""The estimate of the hours that a sweep takes on this machine.

The costs of a kind of run come from the first of these sources that has them: finished runs of the same kind
on the same hardware; an earlier timing; a few timed steps (`benchmarks.sweep.timing`); the timed steps of the
same kind of run on another task, in proportion to the tokens in their batches. Otherwise they are unknown.
"""

import heapq
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from rich.console import Console

from benchmarks.config.spec import RunSpec
from benchmarks.results import store
from benchmarks.sweep import cards, known_costs
from benchmarks.sweep.cost_sources import CostSources
from benchmarks.sweep.costs import seconds_of
from benchmarks.training import checkpoint
from benchmarks.training import run as train
from benchmarks.training.counters import RunCounters


@dataclass(frozen=True)
class RunEstimate:
    """The expected seconds of a run.

    Attributes:
        spec: the run.
        seconds: the seconds that it still takes; None if they are unknown.
        source: where they come from, see `benchmarks.sweep.cost_sources`, or why they are unknown.
    """

    spec: RunSpec
    seconds: float | None
    source: str


@dataclass(frozen=True)
class Estimate:
    """The expected time of a sweep.

    Attributes:
        runs: its runs, in the order of the sweep.
        jobs: number of worker processes.
        lanes: number of runs that work at full speed at the same time; workers that share a GPU take turns.
        kinds: number of kinds of runs by source.
    """

    runs: tuple[RunEstimate, ...]
    jobs: int
    lanes: int
    kinds: dict[str, int]

    @property
    def total_seconds(self) -> float:
        """The sum over the runs whose seconds are known."""
        return sum(run.seconds for run in self.runs if run.seconds is not None)

    @property
    def seconds(self) -> float:
        """The seconds until the last run ends, if each worker takes the next run when it is free."""
        free = [0.0] * self.lanes
        for run in self.runs:
            if run.seconds is not None:
                heapq.heappush(free, heapq.heappop(free) + run.seconds)
        return max(free)

    @property
    def hours(self) -> float:
        """The hours until the last run ends."""
        return self.seconds / 3600

    @property
    def unknown(self) -> dict[str, int]:
        """The number of runs whose seconds are unknown, by reason."""
        return dict(Counter(run.source for run in self.runs if run.seconds is None))

    def line(self) -> str:
        """Return the estimate and its sources in one line."""
        reasons = "; ".join(f"{_counted(n, 'run')} {why}" for why, n in self.unknown.items())
        if len(self.runs) == sum(self.unknown.values()):
            return f"time: {reasons or 'no runs to do'}"
        about = "about" if not reasons else "at least"
        sources = ", ".join(f"{n} {source}" for source, n in self.kinds.items())
        kinds = _counted(sum(self.kinds.values()), "kind")
        text = f"time: {about} {rough(self.seconds)} with {_counted(self.jobs, 'job')}"
        return f"{text} ({kinds} of runs: {sources}){'; ' if reasons else ''}{reasons}"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def rough(seconds: float) -> str:
    """Return a duration with the digits that an estimate supports: one, or two after a leading 1.

    >>> rough(38), rough(1234), rough(3 * 3600 + 1500), rough(14.4 * 3600), rough(1.6 * 3600)
    ('40 s', '20 min', '3 h', '14 h', '1.6 h')
    """
    value, unit = next(
        (seconds / size, unit)
        for size, unit in ((3600, "h"), (60, "min"), (1, "s"))
        if seconds >= 1.5 * size or size == 1
    )
    digits = 1 if f"{value:e}"[0] == "1" else 0
    return f"{float(f'{value:.{digits}e}'):,g} {unit}"


def estimate(
    specs: Sequence[RunSpec],
    suite: str,
    folder: str | None,
    jobs: int | None = None,
    *,
    console: Console | None = None,
    unavailable: Callable[[RunSpec], str | None] = lambda spec: None,
) -> Estimate:
    """Estimate the time that runs take on this machine, after timing a few steps if their costs are unknown.

    A timing works in a process of its own, like a run, and writes neither rows nor checkpoints. If it fails,
    the costs are unknown.

    Args:
        specs: the runs to do.
        suite: name of the suite, whose checkpoints shorten its runs.
        folder: the data folder for `data="folder"`.
        jobs: number of worker processes; None for the sweep's default.
        console: shows on a terminal that steps are timed.
        unavailable: returns what a run needs to download before it can be timed, if anything.
    """
    workers, gpus = cards.assign({spec.device for spec in specs}, jobs, len(specs))
    # Workers that share a GPU take turns.
    lanes = max(1, min(workers, len(gpus) or (os.cpu_count() or 1)))
    if not gpus and any(spec.device != "cpu" for spec in specs):
        lanes = 1
    kinds: dict[str, list[RunSpec]] = {}
    found = {}
    for spec in specs:
        kind = known_costs.kind_of(spec.config())
        if reason := unavailable(spec):
            found[kind] = (None, reason)
        else:
            kinds.setdefault(kind, []).append(spec)
    found |= CostSources(folder, lanes, gpus, console).costs(kinds)
    runs = []
    for spec in specs:
        costs, source = found[known_costs.kind_of(spec.config())]
        done = checkpointed_fraction(spec, suite, folder) if costs else 0.0
        runs.append(RunEstimate(spec, seconds_of(spec, costs, done) if costs else None, source))
    return Estimate(
        tuple(runs), workers, lanes, dict(Counter(source for costs, source in found.values() if costs))
    )


def checkpointed_fraction(spec: RunSpec, suite: str, folder: str | None) -> float:
    """Return the fraction of a run's budget that its checkpoint holds; 0 without a checkpoint."""
    if not any(store.checkpoints(suite).glob(f"{spec.id}-*/{checkpoint.STATE}")):
        return 0.0
    splits = train.load(spec, folder)
    file = train.checkpoints_of(spec, splits, suite, lambda line: None).folder / checkpoint.STATE
    try:
        # Its tensors are mapped, and none of them is read.
        state = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
        return min(1.0, RunCounters(**state["counters"]).budget_fraction(spec.budget))
    except Exception:
        # A damaged file can raise any exception. The run reports it.
        return 0.0
