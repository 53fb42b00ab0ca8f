"""Options that several commands share, and options generated from run fields and method settings."""

import argparse
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.cli.describe import REQUIRED, Parameter
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
    command.add_argument("--data", help=f"source of the rows: builtin, hub, or a folder (default: {default})")


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
        "disabled for suite quick, -tiny suites, and single runs of built-in models)",
    )  # fmt: skip
    command.add_argument(
        "--checkpoint-minutes", type=minutes, metavar="MINUTES", default=10.0,
        help="minutes between checkpoints, in addition to one at each evaluation (default: 10)",
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
    """Return (RunSpec.data, folder) for the value of `--data`.

    If it is None, use the folder in $ADDAX_DATA. If that is not set either, use the source `otherwise`.

    Raises:
        UserError: the folder does not exist.
    """
    if data in ("builtin", "hub"):
        return data, None
    if data is None:
        folder = os.environ.get("ADDAX_DATA")
        return ("folder", folder) if folder else (otherwise, None)
    if not Path(data).is_dir():
        raise UserError(f"--data {data}: no such folder; use an existing folder, builtin, or hub")
    return "folder", data
