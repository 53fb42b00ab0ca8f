"""Costs that are known without a timing: those of finished runs, and those of earlier timings.

Earlier timings are small files in the cache folder, named by a hash of what the costs depend on.
"""

import contextlib
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.config.fingerprint import source_fingerprint
from benchmarks.config.identity import identifying
from benchmarks.config.names import BUDGETS
from benchmarks.config.spec import RunSpec
from benchmarks.files import write_atomically
from benchmarks.models._fetch import cache_folder
from benchmarks.profiling.environment import versions
from benchmarks.results import store
from benchmarks.sweep.costs import Costs, StepCost

# Fields of a spec that do not change the cost of a step or of an evaluation.
WITHOUT_COST = (*BUDGETS, "seed", "data_seed", "schedule", "evaluations", "long_above")


def kind_of(config: Mapping[str, Any]) -> str:
    """Return what runs of equal cost have in common, as text.

    Args:
        config: `RunSpec.config()`, or the config of a row.
    """
    kept = {name: value for name, value in identifying(config).items() if name not in WITHOUT_COST}
    # The value of a real number changes no cost, unless it is 0, such as a momentum.
    settings = {
        name: bool(value) if isinstance(value, float) else value
        for name, value in kept["settings"].items()
        if not isinstance(value, list | tuple)
    }
    return json.dumps(kept | {"settings": settings}, sort_keys=True)


def of_rows(hardware: str | None, threads: int) -> dict[str, Costs]:
    """Return the costs of each kind of run that is finished in any suite on this hardware.

    Args:
        hardware: name of the hardware.
        threads: number of threads of each run on the CPU.
    """
    found = defaultdict(list)
    for path in store.RUNS.glob("*/*.json"):
        # Another command may remove, replace, or convert a row, and a damaged one is reported elsewhere.
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, ZeroDivisionError):
            row = json.loads(path.read_text(encoding="utf-8"))
            on_cpu = not row.get("gpus")
            if row["status"] != "done" or row["hardware"] != hardware:
                continue
            if on_cpu and row["threads"] != threads:
                continue
            found[kind_of(row["config"])].append(costs_of(row))
    return {kind: _mean(costs) for kind, costs in found.items()}


def costs_of(row: Mapping[str, Any]) -> Costs:
    """Return the costs of the run of a finished row."""
    steps, cycle = row["steps"], ()
    if steps:
        cycle = (
            StepCost(
                row["train_seconds"] / steps, row["examples"] / steps, row["forward_equivalents"] / steps
            ),
        )
    evaluated = sum(point["n"] for point in row["curve"])
    per_row = row["eval_seconds"] / (evaluated + row["test"]["n"])
    parts = row["train_seconds"] + row["eval_seconds"] + row.get("checkpoint_seconds", 0.0)
    return Costs(
        max(0.0, row["wall_seconds"] - parts),
        cycle,
        per_row * evaluated / len(row["curve"]),
        per_row * row["test"]["n"],
    )


def _mean(costs: Iterable[Costs]) -> Costs:
    costs = list(costs)
    cycle = ()
    if costs[0].cycle:
        steps = [each.cycle[0] for each in costs]
        names = ("seconds", "examples", "forward_equivalents")
        cycle = (StepCost(*(fmean(getattr(step, name) for step in steps) for name in names)),)
    setup, validation, test = (
        fmean(getattr(each, name) for each in costs) for name in ("setup", "validation", "test")
    )
    return Costs(setup, cycle, validation, test)


def read(
    spec: RunSpec, data_fingerprint: str, hardware: str | None, threads: int
) -> tuple[Costs, str] | None:
    """Return the costs that an earlier sweep stored for this kind of run, and their source, if any."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        stored = json.loads(_path(spec, data_fingerprint, hardware, threads).read_text())
        return Costs.from_dict(stored["costs"]), stored["source"]
    return None


def write(
    spec: RunSpec, data_fingerprint: str, hardware: str | None, threads: int, costs: Costs, source: str
) -> None:
    """Store costs and their source. A failed write is ignored, because the timing can be repeated."""
    with contextlib.suppress(OSError):
        target = _path(spec, data_fingerprint, hardware, threads)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, json.dumps({"costs": costs.as_dict(), "source": source}))


def _path(spec: RunSpec, data_fingerprint: str, hardware: str | None, threads: int) -> Path:
    dependencies = [
        kind_of(spec.config()),
        data_fingerprint,
        source_fingerprint(spec),
        versions(),
        hardware,
        threads,
    ]
    name = hashlib.sha256(json.dumps(dependencies, sort_keys=True).encode()).hexdigest()[:32]
    return cache_folder() / "timing" / f"{name}.json"
