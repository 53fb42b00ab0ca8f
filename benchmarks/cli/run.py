"""Train a model on a task, evaluate it, and write the result row.

For a nano model, options that are not given default to the settings of suite quick, unless both the
learning rate and a budget are given. The settings of a method are options too; to list them:
python -m benchmarks run --method NAME --help

Without --task, the columns of --data FILE determine the task. Its description is written to a TOML file that
you can edit.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks import models, registry, suites
from benchmarks.cli import options
from benchmarks.cli.describe import method_settings, run_fields, settings_owners
from benchmarks.cli.parser import Parser
from benchmarks.config.names import METRIC_NAMES, ZERO_SHOT
from benchmarks.errors import UserError

MAIN = ("method", "model", "task")
# Fields whose options come from `options.add_data` and `options.add_device`.
SPECIAL = ("data", "device")


def add_arguments(command: Parser, argv: Sequence[str]) -> None:
    """Add every field of a run, and the settings of the method that the command line names."""
    command.usage = "%(prog)s --method NAME --model NAME --task NAME [options]"
    fields = run_fields()
    what = command.add_argument_group("what to run")
    for name in MAIN:
        what.add_argument(f"--{name}", required=name != "task", metavar="NAME", help=fields[name].help)
    options.add_data(what)
    options.add_columns(what)
    options.add_device(what)
    others = [field for name, field in fields.items() if name not in (*MAIN, *SPECIAL)]
    options.add_parameters(command.add_argument_group("fields of the run"), others)
    method = method_in(argv)
    if method is not None:
        settings = command.add_argument_group(f"settings of {method}")
        options.add_parameters(settings, method_settings(method).values())
    how = command.add_argument_group("how to run")
    how.add_argument(
        "--suite", default="adhoc", help="subfolder of results/runs for the row (default: adhoc)"
    )
    how.add_argument(
        "--save-model", metavar="DIR",
        help="save the tested weights to this new folder, for from_pretrained; a run of adapters saves a "
        "PEFT adapter folder (default: none are saved)",
    )  # fmt: skip
    options.add_execution(how)
    command.explain = lambda option: foreign_setting(option, method)


def method_in(argv: Sequence[str]) -> str | None:
    """Return the method that a command line names; None if it names no method.

    Raises:
        UserError: the method does not exist; the message suggests the closest one.
    """
    names = [word.removeprefix("--method=") for word in argv if word.startswith("--method=")]
    names += [following for word, following in pairwise(argv) if word == "--method"]
    for name in names[:1]:
        if name != ZERO_SHOT:
            registry.path("method", name)
        return name
    return None


def foreign_setting(option: str, method: str | None) -> UserError | None:
    """Return the error for an option that is a setting of other methods; None for any other option."""
    setting = option.removeprefix("--").replace("-", "_")
    owners = settings_owners(setting)
    if not owners:
        return None
    if method is None:
        return UserError(f"{option} is a setting of {', '.join(owners)}: choose a method with --method")
    return UserError(f"{method} does not take {setting}: it is a setting of {', '.join(owners)}")


def wandb_default(suite: str, model: str) -> str | None:
    """Return the default mode of wandb for a run, or None if it depends only on whether wandb is installed.

    Args:
        suite: name of the folder for its row. A run in a suite's folder has the suite's default.
        model: the run's model. Runs of built-in models are as short as those of suite `quick`.
    """
    if registry.is_suite(suite):
        return suites.wandb(suite)
    return suites.wandb("quick") if model in models.builtin() else None


def main(args: argparse.Namespace) -> int:
    """Run the spec, write its row, and print the score; return 1 if the run failed."""
    from rich.console import Console
    from rich.progress import Progress

    from benchmarks.config.labels import label
    from benchmarks.models._devices import device_of
    from benchmarks.results import saved, store
    from benchmarks.suites._defaults import with_defaults
    from benchmarks.sweep import tracking
    from benchmarks.sweep.display import RunLines
    from benchmarks.sweep.worker import run_spec
    from benchmarks.training import run as train
    from benchmarks.training import saved_model

    data, folder = options.source_of(args.data)
    args.task = options.task_of(args, folder if data == "file" else None)
    values = options.given_values(args, run_fields() | method_settings(args.method))
    spec = with_defaults(values | {"device": device_of(args.device), "data": data})
    wandb = tracking.check_mode(args.wandb, wandb_default(args.suite, spec.model))
    store.check_writable(args.suite)
    target = None if args.save_model is None else Path(args.save_model).expanduser()
    if target is not None:
        saved.check_target(target, spec)
    if skipped := train.load(spec, folder).skipped:
        print(f"skipped {skipped:,} rows of {folder} that have no answer", flush=True)
    if target is not None:
        saved_model.check_space(target, [spec])
    console = Console()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(label(spec), total=1.0)

        def show(budget_fraction: float, text: str) -> None:
            bar.update(task, completed=budget_fraction, description=f"{label(spec)} {text}")

        outcome = run_spec(
            spec,
            suite=args.suite,
            folder=folder,
            jobs=1,
            wandb=wandb,
            checkpoint_minutes=args.checkpoint_minutes,
            progress=show if console.is_terminal else RunLines(spec),
            model_folder=None if target is None else lambda _: target,
        )
    if outcome.status == "busy":
        raise UserError(f"run {spec.id} of suite {args.suite}: {outcome.reason}")
    path = store.folder(args.suite) / f"{spec.id}.json"
    row = store.read_row(path)
    print(f"row: {path.relative_to(registry.ROOT)}")
    if row["status"] != "done":
        print(f"{row['status']}: {row['reason']}", file=sys.stderr)
        return 1
    peak = "" if row["peak_bytes"] is None else f", peak {row['peak_bytes'] / 2**20:,.1f} MiB"
    print(
        f"{row['label']} on {row['task_title']}: test {METRIC_NAMES[row['metric']]} {row['score']:.3f} "
        f"({_majority(row, 'majority')}n = {row['test']['n']}, step {row['best_step']} of "
        f"{row['steps']}), {_by_length(row)}"
        f"{row['train_seconds']:.1f} s of training{peak}"
    )
    if target is not None:
        print(f"model: {target}")
    return 0


def _majority(row: Mapping[str, Any], field: str) -> str:
    """Return a majority score, followed by a comma; nothing for a row without it."""
    return "" if row.get(field) is None else f"majority {row[field]:.3f}, "


def _by_length(row: Mapping[str, Any]) -> str:
    """Return the scores on long and on short test rows, followed by a comma; nothing without a threshold."""
    parts = [
        f"{part} rows {test['score']:.3f} ({_majority(row, f'majority_{part}')}n = {test['n']}), "
        for part in ("long", "short")
        if (test := row.get(f"test_{part}"))
    ]
    return "".join(parts)
