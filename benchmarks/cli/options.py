"""Options that several commands share, and options generated from run fields and method settings."""

import argparse
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.cli.describe import REQUIRED, Parameter
from benchmarks.data import formats
from benchmarks.errors import UserError

# Parameters with these annotations take the user's text unchanged; other values are parsed.
TEXT = ("str", "LengthThreshold")


def option_name(name: str) -> str:
    """Return the option name of a field or setting.

    >>> option_name("fo_batch_size")
    '--fo-batch-size'
    """
    return f"--{name.replace('_', '-')}"


def add_parameters(group: argparse._ArgumentGroup, parameters: Iterable[Parameter]) -> None:
    """Add an option for each parameter. If it is not given, the namespace has no attribute for it."""
    for parameter in parameters:
        keywords = {"help": describe(parameter), "dest": parameter.name, "default": argparse.SUPPRESS}
        if parameter.kind == "bool":
            keywords["action"] = argparse.BooleanOptionalAction
        else:
            keywords["metavar"] = metavar(parameter)
            if isinstance(parameter.default, tuple):
                keywords["nargs"] = "+"
        group.add_argument(option_name(parameter.name), **keywords)


def describe(parameter: Parameter) -> str:
    """Return the help text of a parameter: its description and its default."""
    text = f"{parameter.help} ({format_default(parameter.default)})"
    return text.replace("%", "%%")


def format_default(value: Any) -> str:
    """Format a default as it is written on the command line.

    >>> format_default((0.9, 0.999)), format_default(None), format_default(1e-3)
    ('default: 0.9 0.999', 'default: none', 'default: 0.001')
    """
    if value is REQUIRED:
        return "no default"
    if isinstance(value, bool):
        return f"default: {'on' if value else 'off'}"
    if isinstance(value, tuple):
        return f"default: {' '.join(map(str, value))}"
    return f"default: {'none' if value is None else value}"


def metavar(parameter: Parameter) -> str:
    """Return the placeholder for an option's value in help texts."""
    numbers = {"int": "N", "float": "X"}
    return next((numbers[kind] for kind in parameter.kind.split(" | ") if kind in numbers), "VALUE")


def given_values(args: argparse.Namespace, parameters: Mapping[str, Parameter]) -> dict[str, Any]:
    """Return the values of the parameters that are given on the command line."""
    return {
        name: _value(parameter, getattr(args, name))
        for name, parameter in parameters.items()
        if hasattr(args, name)
    }


def _value(parameter: Parameter, value: Any) -> Any:
    if isinstance(value, bool):
        return value
    if isinstance(value, list):
        return [parse_value(text) for text in value]
    return value if parameter.kind.split(" | ")[0] in TEXT else parse_value(value)


def parse_value(text: str) -> Any:
    """Return the value that a text represents: None, a boolean, a number, or the text itself.

    >>> [parse_value(text) for text in ("3e-4", "16", "none", "paper")]
    [0.0003, 16, None, 'paper']
    """
    if text.lower() in ("none", "true", "false"):
        return {"none": None, "true": True, "false": False}[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def add_data(
    command: argparse._ActionsContainer, default: str = "$ADDAX_DATA if set, otherwise builtin"
) -> None:
    """Add `--data`."""
    command.add_argument(
        "--data", help=f"source of the rows: builtin, hub, a folder, or a file (default: {default})"
    )


def add_columns(command: argparse._ActionsContainer) -> None:
    """Add `--label` and `--text`, the columns from which a task is made if --task is omitted."""
    command.add_argument(
        "--label",
        metavar="NAME",
        help="column of the answer, without --task (default: found by name or values)",
    )
    command.add_argument(
        "--text", nargs="+", default=[], metavar="NAME",
        help="columns of the prompt, in order, without --task (default: found by name or values)",
    )  # fmt: skip


def task_of(args: argparse.Namespace, file: str | None) -> str:
    """Return the value of `--task`, or the task that the columns of a data file determine.

    The description of such a task is written to the suite's folder, and its path is printed.

    Args:
        args: the namespace, with the options of `add_columns` and `--suite`.
        file: the data file; None for any other source.

    Raises:
        UserError: the task is missing, or the columns are given although the task defines them.
    """
    if args.task is not None:
        if args.label or args.text:
            raise UserError(f"--label and --text have no effect with --task {args.task}: leave them out")
        return args.task
    if file is None:
        raise UserError("--task is missing: name a task, or pass a data file with --data FILE")
    # Imported here because `--help` needs no rows.
    from benchmarks.data import infer
    from benchmarks.results import store

    store.check_writable(args.suite)
    task = infer.task_for(Path(file), args.suite, args.label, args.text)
    print(f"task: {task} (edit it, then run the command again)", flush=True)
    return task


def add_device(command: argparse._ActionsContainer) -> None:
    """Add `--device`."""
    command.add_argument(
        "--device",
        help="cpu, cuda, cuda:N, or auto to shard the model over all GPUs (default: cuda if available, "
        "otherwise cpu)",
    )


def add_execution(command: argparse._ActionsContainer) -> None:
    """Add the options that control how a run executes and do not change its id."""
    command.add_argument(
        "--wandb", metavar="MODE",
        help="Weights & Biases mode: offline, online, or disabled (default: offline if wandb is installed; "
        "disabled for suites that bind it, -tiny suites, and single runs and comparisons of built-in models)",
    )  # fmt: skip
    command.add_argument(
        "--checkpoint-minutes", type=minutes, metavar="MINUTES", default=10.0,
        help="minutes between checkpoints, in addition to one at each evaluation (default: 10)",
    )  # fmt: skip


def add_sweep(command: argparse._ActionsContainer) -> None:
    """Add the options that control how the runs of a suite are distributed and execute."""
    command.add_argument(
        "--shard", metavar="I/N", help="run only part I of N, to split a suite over machines"
    )
    command.add_argument(
        "--jobs",
        type=int,
        metavar="N",
        help="number of worker processes, which share the GPUs (default: one per GPU, or one per CPU core)",
    )
    command.add_argument("--executor", default="local", metavar="NAME", help="local or ray (default: local)")
    command.add_argument(
        "--ray-address",
        metavar="ADDRESS",
        help="address of a Ray cluster (default: start Ray on this machine)",
    )
    add_execution(command)
    command.add_argument(
        "--save-models", action="store_true",
        help="save the best weights of each run to results/runs/SUITE/models/ID for from_pretrained, and run "
        "finished runs without them again",
    )  # fmt: skip


def minutes(text: str) -> float:
    """Parse a positive number of minutes."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a positive number, not {text!r}")
    return value


def source_of(data: str | None, otherwise: str = "builtin") -> tuple[str, str | None]:
    """Return (RunSpec.data, path of the folder or the file) for the value of `--data`.

    If it is None, use the folder in $ADDAX_DATA. If that is not set either, use the source `otherwise`.

    Raises:
        UserError: the folder or the file does not exist, or the file is no data file.
    """
    if data in ("builtin", "hub"):
        return data, None
    if data is None:
        folder = os.environ.get("ADDAX_DATA")
        if not folder:
            return otherwise, None
        return "file" if Path(folder).is_file() else "folder", folder
    if Path(data).is_dir():
        return "folder", data
    if formats.suffix_of(Path(data)) is None:
        raise UserError(
            f"--data {data}: no such folder, nor data file ({', '.join(formats.READERS)}); use an existing "
            "folder or file, builtin, or hub"
        )
    formats.check(Path(data))
    return "file", data
