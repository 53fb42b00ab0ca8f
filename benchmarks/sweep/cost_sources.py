"""Where the costs of a sweep's runs come from: finished runs, earlier timings, and timings of a few steps."""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from rich.console import Console

from benchmarks.config.spec import RunSpec
from benchmarks.errors import UserError
from benchmarks.profiling.devices import hardware_of
from benchmarks.sweep import bounds, known_costs, timing
from benchmarks.sweep.costs import Costs, closest, scaled, seconds_of
from benchmarks.sweep.local import LocalExecutor
from benchmarks.training import run as train

# Runs that take at most these seconds together are not timed, which would take as long.
SHORT = 30.0
TOO_SHORT = f"not timed, because they take less than {SHORT:.0f} s"
FINISHED, TIMED, SCALED = "from finished runs", "timed", "scaled from another task"
# Seconds for all timings of a sweep.
LIMIT = 60.0
# Timings that have begun when these seconds are over get this many times as long before they are given up.
PATIENCE = 5
# After one timing of each method and model, timings of more tasks take at most this share of the sweep.
SHARE = 0.02
# Seconds after which a timing repeats no more steps.
EACH = 10.0
# A kind of run -> its costs, or None, and where they come from, or why they are unknown.
Found = dict[str, tuple[Costs | None, str]]


class CostSources:
    """The sources of costs on this machine.

    Args:
        folder: the data folder for `data="folder"`.
        lanes: number of processes that time steps at the same time, as many as runs.
        gpus: the GPUs that they take turns to occupy, see `LocalExecutor`.
        console: shows on a terminal that steps are timed; None shows nothing.
        limit: seconds for all timings.
    """

    def __init__(
        self,
        folder: str | None,
        lanes: int,
        gpus: Sequence[str],
        console: Console | None,
        limit: float = LIMIT,
    ) -> None:
        self.folder, self.lanes, self.gpus, self.console, self.limit = folder, lanes, gpus, console, limit
        self.threads = max(1, (os.cpu_count() or 1) // lanes)
        self._executor: LocalExecutor | None = None
        self._overdue = False
        self._hardware: dict[str, str | None] = {}

    def costs(self, kinds: Mapping[str, Sequence[RunSpec]]) -> Found:
        """Return the costs of each kind of run.

        Args:
            kinds: kind -> its runs; see `known_costs.kind_of`.
        """
        finished = False
        try:
            found = self._known({kind: specs[0] for kind, specs in kinds.items()})
            left = {kind: specs[0] for kind, specs in kinds.items() if kind not in found}
            if self._are_short([spec for kind in left for spec in kinds[kind]]):
                found |= dict.fromkeys(left, (None, TOO_SHORT))
            elif left:
                self._time_and_scale(left, found, kinds)
            finished = True
            return found
        finally:
            if self._executor is not None:
                # A process whose step takes too long is not waited for.
                self._executor.close(now=not finished or self._overdue)

    def _are_short(self, specs: Sequence[RunSpec]) -> bool:
        try:
            return sum(map(bounds.most_seconds, specs)) / self.lanes < SHORT
        except UserError:
            # The timing states why the model cannot be read.
            return False

    def _known(self, kinds: Mapping[str, RunSpec]) -> Found:
        """Return the costs that are known without a timing."""
        found, rows = {}, {}
        for kind, spec in kinds.items():
            hardware = self._hardware_of(spec)
            if hardware not in rows:
                rows[hardware] = known_costs.of_rows(hardware, self.threads)
            if kind in rows[hardware]:
                found[kind] = (rows[hardware][kind], FINISHED)
            elif stored := known_costs.read(spec, self._data(spec), hardware, self.threads):
                found[kind] = stored
        return found

    def _time_and_scale(
        self, left: Mapping[str, RunSpec], found: Found, kinds: Mapping[str, Sequence[RunSpec]]
    ) -> None:
        show = self.console is not None and self.console.is_terminal
        with self.console.status("timing a few steps of each method and model") if show else nullcontext():
            began = time.monotonic()
            # One task of each method and model comes first; if its timing fails, another one.
            while first := _one_per_base(left, found):
                if not self._time(first, found, began + self.limit):
                    break
            known = [
                (spec, found[kind][0]) for kind, specs in kinds.items() if kind in found for spec in specs
            ]
            total = sum(seconds_of(spec, costs) for spec, costs in known if costs)
            more = {kind: spec for kind, spec in left.items() if kind not in found}
            self._time(more, found, min(began + self.limit, time.monotonic() + SHARE * total / self.lanes))
            self._scale({kind: spec for kind, spec in more.items() if kind not in found}, found)

    def _time(self, kinds: Mapping[str, RunSpec], found: Found, deadline: float) -> bool:
        """Time kinds of runs until the deadline; return whether all of them were timed."""
        work = partial(timing.measure, folder=self.folder, seconds=EACH)
        for kind, timed in self._results(work, kinds, deadline):
            spec = kinds[kind]
            if isinstance(timed, str):
                found[kind] = (None, f"unknown: {timed}")
            elif isinstance(timed.costs, str):
                found[kind] = (None, f"unknown: {timed.costs}")
            else:
                self._keep(kind, spec, timed.costs, TIMED, found)
        return kinds.keys() <= found.keys()

    def _scale(self, kinds: Mapping[str, RunSpec], found: Found) -> None:
        """Derive the costs of kinds of runs from those of the same kind on another task."""
        sources: dict[str, list[Costs]] = {}
        for kind, (costs, _) in found.items():
            if costs is not None and costs.validation_tokens:
                sources.setdefault(_base_of(kind), []).append(costs)
        ready = {kind: spec for kind, spec in kinds.items() if _base_of(kind) in sources}
        work = partial(timing.sizes, folder=self.folder)
        for kind, sizes in self._results(work, ready, time.monotonic() + self.limit):
            if isinstance(sizes, str):
                found[kind] = (None, f"unknown: {sizes}")
            else:
                self._keep(
                    kind, kinds[kind], scaled(closest(sources[_base_of(kind)], sizes), sizes), SCALED, found
                )
        for kind in kinds:
            found.setdefault(kind, (None, f"not timed within {self.limit:.0f} s"))

    def _keep(self, kind: str, spec: RunSpec, costs: Costs, source: str, found: Found) -> None:
        """Note the costs of a kind of run, and store them for the next sweep."""
        found[kind] = (costs, source)
        known_costs.write(spec, self._data(spec), self._hardware_of(spec), self.threads, costs, source)

    def _results(
        self, work: Callable[[RunSpec], Any], kinds: Mapping[str, RunSpec], deadline: float
    ) -> Iterator[tuple[str, Any]]:
        """Yield (kind, result) as work ends; the result is a text if its process died or takes too long."""
        if not kinds or self._overdue or time.monotonic() >= deadline:
            return
        executor = self._processes()
        futures: dict[Future, str] = {executor.submit(work, spec): kind for kind, spec in kinds.items()}
        patience = deadline + (PATIENCE - 1) * self.limit
        while futures:
            now = time.monotonic()
            for future in wait(futures, max(0.0, deadline - now), return_when=FIRST_COMPLETED).done:
                kind = futures.pop(future)
                try:
                    yield kind, future.result()
                except Exception as error:
                    # Its process died, or the work raised an error.
                    yield kind, str(error)
            if futures and time.monotonic() >= deadline:
                futures = {future: kind for future, kind in futures.items() if not future.cancel()}
                # What has begun may end: loading a model can take longer than all other timings.
                deadline, late = patience, deadline >= patience
                if late:
                    self._overdue = True
                    for kind in futures.values():
                        yield kind, f"timing it takes longer than {PATIENCE * self.limit:.0f} s"
                    return

    def _processes(self) -> LocalExecutor:
        if self._executor is None:
            self._executor = LocalExecutor(self.lanes, self.gpus)
        return self._executor

    def _hardware_of(self, spec: RunSpec) -> str | None:
        """Return the hardware of a run. Only a process that ends before the sweep may start a GPU."""
        if spec.device == "cpu":
            return hardware_of([torch.device("cpu")])
        if spec.device not in self._hardware:
            future = self._processes().submit(timing.hardware, spec)
            try:
                self._hardware[spec.device] = future.result(self.limit)
            except Exception as error:
                # The timings that follow state the reason.
                self._hardware[spec.device], self._overdue = None, isinstance(error, TimeoutError)
        return self._hardware[spec.device]

    def _data(self, spec: RunSpec) -> str:
        return train.data_fingerprint(spec, self.folder)


def _one_per_base(left: Mapping[str, RunSpec], found: Found) -> dict[str, RunSpec]:
    """Return the first kind of each group that differs only in the task and has no costs with tokens yet."""
    done = {_base_of(kind) for kind, (costs, _) in found.items() if costs and costs.validation_tokens}
    chosen = {}
    for kind, spec in left.items():
        if kind not in found and _base_of(kind) not in done:
            chosen.setdefault(_base_of(kind), (kind, spec))
    return dict(chosen.values())


def _base_of(kind: str) -> str:
    """Return what kinds of runs that differ only in the task have in common."""
    return json.dumps({**json.loads(kind), "task": None}, sort_keys=True)
