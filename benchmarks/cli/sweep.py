"""Run all runs of a suite that are not finished."""

import argparse
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from benchmarks import registry, suites
from benchmarks.cli import options
from benchmarks.cli.parser import Parser
from benchmarks.errors import UserError, unknown
from benchmarks.sweep import shards

if TYPE_CHECKING:
    from benchmarks.sweep.executor import Executor

EXECUTORS = ("local", "ray")


def add_arguments(command: Parser, words: Sequence[str]) -> None:
    """Add the suite, what of it to run, and how."""
    command.add_argument("suite")
    what = command.add_argument_group("what to run")
    what.add_argument(
        "--only", nargs="+", action="extend", default=[], metavar="KEY=A,B",
        help="only runs with these values of method, model, task, seed or label",
    )  # fmt: skip
    add_budget(what)
    what.add_argument(
        "--shard", metavar="I/N", help="part I of N of the runs, to split a suite over machines"
    )
    options.add_data(what, "the suite's, or $ADDAX_DATA, or builtin")
    options.add_device(what)
    what.add_argument("--dry-run", action="store_true", help="print what would run")
    how = command.add_argument_group("how to run")
    how.add_argument(
        "--jobs", type=int, metavar="N", help="worker processes (default: the cores; 1 on a GPU)"
    )
    how.add_argument("--executor", default="local", metavar="NAME", help="local (default) or ray")
    how.add_argument("--ray-address", metavar="ADDRESS", help="Ray cluster (default: one on this machine)")
    options.add_execution(how)
    how.add_argument("--report", action="store_true", help="then do what the command report does")


def add_budget(command: argparse._ActionsContainer) -> None:
    """Add `--budget`."""
    command.add_argument(
        "--budget", metavar="NAME=AMOUNT",
        help="budget of every run, in place of the suite's: steps, seconds, examples or forward-equivalents",
    )  # fmt: skip


def main(given: argparse.Namespace) -> int:
    """Run what is not finished; 1 if a run failed."""
    if given.executor not in EXECUTORS:
        raise unknown("executor", given.executor, EXECUTORS)
    if given.ray_address and given.executor != "ray":
        raise UserError("--ray-address needs --executor ray")
    if given.jobs is not None and given.jobs < 1:
        raise UserError(f"--jobs must be at least 1, not {given.jobs}")
    part = None if given.shard is None else shards.parse_shard(given.shard)
    only = filters(given.only)
    registry.path("suite", given.suite)

    # From here on torch is needed, whose import takes seconds.
    from rich.console import Console

    from benchmarks.sweep import scheduler, tracking

    suite = registry.module("suite", given.suite)
    own = suites.data(given.suite)
    # A paper's suite takes a folder of the published rows as well as the hub's.
    data, folder = options.source_of(given.data or (None if own == "hub" else own), own or "builtin")
    # The machine that hands out runs need not have the GPU that they run on.
    device = given.device if given.executor == "ray" and given.device else options.device_of(given.device)
    changes = {"data": data, "device": device}
    if given.budget is not None:
        changes |= scheduler.budget(given.budget)
    specs = scheduler.specs_of(given.suite, changes, only)
    if part is not None:
        specs = shards.shard(specs, *part)
    name = suites.rows_name(given.suite, given.budget)
    if given.dry_run:
        return dry_run(name, specs, folder)
    jobs = given.jobs or getattr(suite, "JOBS", None)

    def make_executor(runs: int) -> "Executor":
        if given.executor == "ray":
            from benchmarks.sweep.ray import RayExecutor

            return RayExecutor(given.ray_address, device, jobs)
        from benchmarks.sweep.local import LocalExecutor

        return LocalExecutor(min(jobs or (1 if device != "cpu" else os.cpu_count() or 1), runs))

    failed = scheduler.sweep(
        name,
        specs,
        make_executor=make_executor,
        folder=folder,
        console=Console(),
        wandb=tracking.check_mode(given.wandb, getattr(suite, "WANDB", None)),
        checkpoint_minutes=given.checkpoint_minutes,
    )
    if given.report:
        from benchmarks.report import build

        build.write_report(name)
    return 1 if failed else 0


def filters(pairs: Sequence[str]) -> dict[str, list[str]]:
    """Parse the words of `--only`."""
    only = {}
    for pair in pairs:
        key, equals, values = pair.partition("=")
        if not equals or not values:
            raise UserError(f"--only wants key=a,b, not {pair!r}")
        only[key] = values.split(",")
    return only


def dry_run(name: str, specs: Sequence, folder: str | None) -> int:
    """Print the runs to do."""
    from benchmarks.config.labels import label
    from benchmarks.sweep import scheduler

    todo = scheduler.pending(name, specs, folder)
    for spec in todo.todo:
        print(f"{spec.id} {spec.model} {spec.task} {label(spec)} {dict(spec.settings)}")
    print(f"{name}: {len(todo.todo)} runs to do, {len(todo.finished)} finished before")
    return 0
