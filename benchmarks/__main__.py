"""Command line: list, run, sweep, plan, fetch, report."""

import argparse
import contextlib
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import registry
from benchmarks.errors import Parser, UserError, unknown, unwritten
from benchmarks.memory import plan_cli as _plan_command


def parser() -> argparse.ArgumentParser:
    """The arguments of every command."""
    top = Parser(prog="python -m benchmarks", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("list", help="methods, models, tasks and suites, with one line each")

    one = commands.add_parser("run", help="one run")
    for name in ("method", "model", "task"):
        one.add_argument(f"--{name}", required=True)
    one.add_argument("--seed", type=int, default=0)
    one.add_argument("--suite", default="adhoc", help="folder of results/runs for the row")
    one.add_argument("--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE")
    one.add_argument("--dtype", default="float32")
    _shared(one)

    many = commands.add_parser("sweep", help="all runs of a suite that are not finished")
    many.add_argument("suite")
    many.add_argument("--jobs", type=int, help="worker processes (default: the cores, or 1 on a GPU)")
    many.add_argument("--only", nargs="+", action="extend", default=[], metavar="KEY=A,B")
    many.add_argument(
        "--budget",
        metavar="NAME=AMOUNT",
        help="of every run: steps, seconds, examples or forward-equivalents",
    )
    many.add_argument("--shard", metavar="I/N", help="part I of N of the runs, for one of N machines")
    many.add_argument("--dry-run", action="store_true", help="say what would run")
    many.add_argument("--executor", default="local", help="local (default) or ray")
    many.add_argument("--ray-address", metavar="ADDRESS", help="of a Ray cluster (default: a local one)")
    _shared(many)

    plan = commands.add_parser("plan", help="what fits on a GPU: batches, L_T and memory of every method")
    _plan_command.add_arguments(plan)

    fetch = commands.add_parser("fetch", help="download a built-in model that does not ship with the suite")
    fetch.add_argument("name")

    report = commands.add_parser("report", help="tables, figures and a summary from result rows")
    report.add_argument("suite", nargs="?", default="quick")
    report.add_argument("--commit-reference", action="store_true", help="rows into results/reference/")
    report.add_argument(
        "--published", type=Path, metavar="FILE", help="a CSV of printed numbers beside results/published.csv"
    )
    return top


def _shared(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--data", help='"builtin", "hub" or a folder (default: the suite\'s, or $ADDAX_DATA, or builtin)'
    )
    command.add_argument(
        "--wandb",
        metavar="MODE",
        help="offline (default where wandb is installed, except for suite quick), online or disabled",
    )
    command.add_argument("--device", help='"cpu", "cuda" or "auto" to shard (default: cuda if there is one)')


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; the exit code. A user's mistake is one line on stderr and code 2."""
    try:
        given = parser().parse_args(arguments)
        commands = {"list": _list, "run": _run, "sweep": _sweep, "fetch": _fetch, "report": _report}
        return (commands | {"plan": _plan})[given.command](given)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        raise
    except OSError as error:
        print(f"error: {unwritten(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        again = shlex.join(arguments if arguments is not None else sys.argv[1:])
        print(
            f"stopped: finished runs and checkpoints are kept; continue with\n  python -m benchmarks {again}",
            file=sys.stderr,
        )
        return 130


def _list(given: argparse.Namespace) -> int:
    for kind in ("method", "model", "task", "suite"):
        print(f"{kind}s")
        width = max(12, *map(len, registry.files(kind)))
        for name in registry.files(kind):
            print(f"  {name:<{width}} {registry.summary(kind, name)}")
        if kind == "model":
            from benchmarks import models

            print(f"  built in: {', '.join(models.builtin())}; a folder, or a hub name (owner/name)")
    return 0


def _source(data: str | None, otherwise: str = "builtin") -> tuple[str, str | None]:
    """(RunSpec.data, folder) of the --data argument; without one, $ADDAX_DATA, or else `otherwise`."""
    if data in ("builtin", "hub"):
        return data, None
    if data is None:
        folder = os.environ.get("ADDAX_DATA")
        return ("folder", folder) if folder else (otherwise, None)
    if not Path(data).is_dir():
        raise UserError(f"--data {data}: no such folder (or give builtin or hub)")
    return "folder", data


def _device(device: str | None) -> str:
    import torch

    if device is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(f"--device {device}: torch sees no GPU here")
    if device not in ("cpu", "auto") and not device.startswith("cuda"):
        raise UserError(f"--device {device}: give cpu, cuda, cuda:N or auto")
    return device


def _run(given: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.progress import Progress

    from benchmarks.config import spec
    from benchmarks.config.methods import parse_settings
    from benchmarks.results import store
    from benchmarks.sweep import tracking
    from benchmarks.sweep.display import RunLines
    from benchmarks.sweep.worker import run_spec
    from benchmarks.training import run as train

    data, folder = _source(given.data)
    fields = {
        "method": given.method,
        "model": given.model,
        "task": given.task,
        "seed": given.seed,
        "dtype": given.dtype,
        "device": _device(given.device),
        "data": data,
    }
    settings = parse_settings(given.set)
    for key in settings:
        if key in fields:
            raise UserError(f"--set {key}: give it as --{key}")
    one = spec.with_defaults(fields | settings)
    wandb = tracking.check_mode(given.wandb)
    store.check_writable(given.suite)
    train.load(one, folder)
    console = Console()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(one.label, total=1.0)

        def show(budget_fraction: float, text: str) -> None:
            bar.update(task, completed=budget_fraction, description=f"{one.label} {text}")

        outcome = run_spec(
            one,
            suite=given.suite,
            folder=folder,
            jobs=1,
            wandb=wandb,
            progress=show if console.is_terminal else RunLines(one),
        )
    if outcome.status == "busy":
        raise UserError(f"run {one.id} of suite {given.suite}: {outcome.reason}")
    path = store.folder(given.suite) / f"{one.id}.json"
    row = store.read_row(path)
    print(f"row: {path.relative_to(registry.ROOT)}")
    if row["status"] != "done":
        print(f"{row['status']}: {row['reason']}", file=sys.stderr)
        return 1
    peak = "" if row["peak_bytes"] is None else f", peak {row['peak_bytes'] / 2**20:,.1f} MiB"
    print(
        f"{row['label']} on {row['task_title']}: test {row['metric']} {row['score']:.3f} "
        f"(n = {row['test']['n']}, step {row['best_step']} of {row['steps']}), "
        f"{row['train_seconds']:.1f} s of training{peak}"
    )
    return 0


def _sweep(given: argparse.Namespace) -> int:
    from rich.console import Console

    from benchmarks import suites
    from benchmarks.sweep import scheduler as sweep
    from benchmarks.sweep import tracking
    from benchmarks.sweep.executor import Executor
    from benchmarks.sweep.local import LocalExecutor

    suite = registry.module("suite", given.suite)
    own = suites.data(given.suite)
    # A paper's suite takes a folder of the published rows as well as the hub's.
    data, folder = _source(given.data or (None if own == "hub" else own), own or "builtin")
    only = {}
    for pair in given.only:
        key, equals, values = pair.partition("=")
        if not equals or not values:
            raise UserError(f"--only wants key=a,b, not {pair!r}")
        only[key] = values.split(",")
    if given.executor not in ("local", "ray"):
        raise unknown("executor", given.executor, ("local", "ray"))
    if given.ray_address and given.executor != "ray":
        raise UserError("--ray-address needs --executor ray")
    # The machine that hands out runs need not have the GPU that they run on.
    device = given.device if given.executor == "ray" and given.device else _device(given.device)
    changes, name = {"data": data, "device": device}, given.suite
    if given.budget is not None:
        changes |= sweep.budget(given.budget)
        # Rows of another budget than the suite's are no rows of the suite.
        name = f"{name}.{given.budget.replace('=', '-')}"
    specs = sweep.specs_of(given.suite, changes, only)
    if given.shard is not None:
        specs = sweep.shard(specs, given.shard)
    console = Console()
    if given.jobs is not None and given.jobs < 1:
        raise UserError(f"--jobs must be at least 1, not {given.jobs}")
    if given.dry_run:
        found = sweep.pending(name, specs, folder)
        for spec in found.todo:
            print(f"{spec.id} {spec.model} {spec.task} {spec.label} {dict(spec.set)}")
        print(f"{name}: {len(found.todo)} runs to do, {len(found.finished)} finished before")
        return 0
    jobs = given.jobs or getattr(suite, "JOBS", None)

    def make_executor(runs: int) -> Executor:
        if given.executor == "ray":
            from benchmarks.sweep.ray import RayExecutor

            return RayExecutor(given.ray_address, device, jobs)
        return LocalExecutor(min(jobs or (1 if device != "cpu" else os.cpu_count() or 1), runs))

    failed = sweep.sweep(
        name,
        specs,
        make_executor=make_executor,
        folder=folder,
        console=console,
        wandb=tracking.check_mode(given.wandb, getattr(suite, "WANDB", None)),
    )
    return 1 if failed else 0


def _plan(given: argparse.Namespace) -> int:
    data, folder = ("builtin", None) if given.length_file else _source(given.data)
    return _plan_command.main(given, folder or data)


def _fetch(given: argparse.Namespace) -> int:
    from benchmarks.models import _fetch

    print(_fetch.fetch(given.name))
    return 0


def _report(given: argparse.Namespace) -> int:
    from benchmarks.report import build as report

    report.write_all(given.suite, commit_reference=given.commit_reference, extra=given.published)
    return 0


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        sys.exit(main())
