"""Run every unfinished run of a suite."""

import argparse
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from benchmarks import registry, suites, tasks
from benchmarks.cli import options
from benchmarks.cli.parser import Parser
from benchmarks.errors import UserError, unknown
from benchmarks.sweep import shards

if TYPE_CHECKING:
    from benchmarks.config.spec import RunSpec
    from benchmarks.sweep.estimate import Estimate
    from benchmarks.sweep.executor import Executor

EXECUTORS = ("local", "ray")


def add_arguments(command: Parser, argv: Sequence[str]) -> None:
    """Add the suite, the selection of its runs, and the options that control their execution."""
    command.add_argument("suite", help="suite to run; to list all suites: python -m benchmarks list")
    what = command.add_argument_group("what to run")
    what.add_argument(
        "--only", nargs="+", action="extend", default=[], metavar="KEY=A,B",
        help="select runs by method, model, task, seed, or label",
    )  # fmt: skip
    add_budget(what)
    options.add_data(
        what,
        "builtin rows for a suite that binds them; else $ADDAX_DATA, then the suite's source, then builtin",
    )
    what.add_argument(
        "--data-revision", metavar="REVISION",
        help="branch, tag, or commit of the data set on the hub, for runs that share one data set",
    )  # fmt: skip
    options.add_device(what)
    what.add_argument(
        "--dry-run", action="store_true", help="print the runs and what they need, without running them"
    )
    how = command.add_argument_group("how to run")
    options.add_sweep(how)
    how.add_argument("--report", action="store_true", help="write the suite's report after the sweep")


def add_budget(command: argparse._ActionsContainer) -> None:
    """Add `--budget`."""
    command.add_argument(
        "--budget", metavar="NAME=AMOUNT",
        help="budget of every run instead of the suite's: steps, seconds, examples, or forward-equivalents",
    )  # fmt: skip


def main(args: argparse.Namespace) -> int:
    """Run the unfinished runs of a suite; return 1 if a run failed."""
    if args.executor not in EXECUTORS:
        raise unknown("executor", args.executor, EXECUTORS)
    if args.ray_address and args.executor != "ray":
        raise UserError("--ray-address needs --executor ray")
    if args.report and args.dry_run:
        raise UserError("--report has no effect with --dry-run: leave out one of them")
    if args.jobs is not None and args.jobs < 1:
        raise UserError(f"--jobs must be at least 1, not {args.jobs}")
    part = None if args.shard is None else shards.parse_shard(args.shard)
    only = filters(args.only)
    registry.path("suite", args.suite)

    # These imports follow the checks of the arguments, because importing torch takes seconds.
    from rich.console import Console

    from benchmarks.models._devices import device_of
    from benchmarks.sweep import scheduler, selection, tracking

    suite_data = suites.data(args.suite)
    # A suite of a paper reads the hub, or the same rows from the folder in $ADDAX_DATA if it is set.
    if suite_data == "builtin" and args.data not in (None, "builtin"):
        raise UserError(f"--data {args.data}: suite {args.suite} always uses built-in rows; leave out --data")
    data, folder = options.source_of(
        args.data or (None if suite_data == "hub" else suite_data), suite_data or "builtin"
    )
    # With Ray, this machine does not need the GPU that the runs use, so --device is not checked here.
    device = args.device if args.executor == "ray" and args.device else device_of(args.device)
    # A run's own choice counts unless the command line or the suite as a whole makes one.
    defaults = {}
    changes = {} if args.budget is None else selection.budget(args.budget)
    (changes if args.data or suite_data else defaults)["data"] = data
    (changes if args.device else defaults)["device"] = device
    if args.data_revision is not None:
        changes["data_revision"] = args.data_revision
    specs = selection.specs_of(args.suite, changes, only, defaults)
    if args.data_revision is not None:
        check_one_dataset(specs)
    if part is not None:
        specs = shards.shard(specs, *part)
    name = suites.rows_name(args.suite, args.budget)
    jobs, console = args.jobs or suites.jobs(args.suite), Console()

    def preview(todo: "Sequence[RunSpec]") -> "Estimate | None":
        from benchmarks.sweep import preview

        here = args.executor == "local"
        return preview.show(name, todo, folder, jobs, console, here=here, save_models=args.save_models)

    if args.dry_run:
        return dry_run(name, specs, folder, preview, args.save_models)

    def make_executor(runs: int) -> "Executor":
        if args.executor == "ray":
            from benchmarks.sweep.ray import RayExecutor

            return RayExecutor(args.ray_address, device, jobs)
        from benchmarks.sweep import cards
        from benchmarks.sweep.local import LocalExecutor

        return LocalExecutor(*cards.assign({spec.device for spec in specs}, jobs, runs))

    failed = scheduler.sweep(
        name,
        specs,
        make_executor=make_executor,
        folder=folder,
        console=console,
        wandb=tracking.check_mode(args.wandb, suites.wandb(args.suite)),
        checkpoint_minutes=args.checkpoint_minutes,
        preview=preview,
        save_models=args.save_models,
    )
    if args.report:
        from benchmarks.report import build

        build.write_report(name)
    return 1 if failed else 0


def check_one_dataset(specs: Sequence["RunSpec"]) -> None:
    """Reject runs of several data sets, which have no common revision."""
    known = [task.hub.dataset for task in (tasks.load(spec.task) for spec in specs) if task.hub]
    if len(found := sorted(set(known))) > 1:
        raise UserError(
            f"--data-revision needs runs of one data set, not of {', '.join(found)}: select them with --only"
        )


def filters(pairs: Sequence[str]) -> dict[str, list[str]]:
    """Parse the values of `--only` into lists of accepted values by key."""
    only = {}
    for pair in pairs:
        key, equals, values = pair.partition("=")
        if not equals or not values:
            raise UserError(f"--only must be KEY=A,B (such as method=addax,mezo), not {pair!r}")
        only[key] = values.split(",")
    return only


def dry_run(
    name: str,
    specs: "Sequence[RunSpec]",
    folder: str | None,
    preview: "Callable[[Sequence[RunSpec]], Estimate | None]",
    save_models: bool = False,
) -> int:
    """Print the unfinished runs and what they need; return 0. Nothing is downloaded."""
    from benchmarks.config.labels import label
    from benchmarks.sweep import downloads, scheduler

    todo = scheduler.pending(name, specs, folder, save_models, lacks_data=downloads.lacks_data)
    for spec in todo.todo:
        print(f"{spec.id} {spec.model} {spec.task} {label(spec)} {dict(spec.settings)}")
    if todo.todo:
        preview(todo.todo)
    print(f"{name}: {todo.summary}")
    return 0
