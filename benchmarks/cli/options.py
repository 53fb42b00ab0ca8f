"""Options that several commands share, and options made of fields of a run and settings of a method."""

import argparse
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.cli.describe import REQUIRED, Parameter
from benchmarks.errors import UserError

# Memory is not read back as text: the value of these is what the user wrote.
TEXT = ("str", "LengthThreshold")


def option_name(name: str) -> str:
    """Return the option of a field or setting.

    >>> option_name("fo_batch_size")
    '--fo-batch-size'
    """
    return f"--{name.replace('_', '-')}"


def add_parameters(group: argparse._ArgumentGroup, parameters: Iterable[Parameter]) -> None:
    """Add an option for each parameter; one that is not given leaves no trace in the namespace."""
    for parameter in parameters:
        shown = {"help": describe(parameter), "dest": parameter.name, "default": argparse.SUPPRESS}
        if parameter.kind == "bool":
            shown["action"] = argparse.BooleanOptionalAction
        else:
            shown["metavar"] = metavar(parameter)
            if isinstance(parameter.default, tuple):
                shown["nargs"] = "+"
        group.add_argument(option_name(parameter.name), **shown)


def describe(parameter: Parameter) -> str:
    """Return the help of a parameter: what it is, and its default."""
    text = f"{parameter.help} ({format_default(parameter.default)})"
    return text.replace("%", "%%")


def format_default(value: Any) -> str:
    """Return a default as one would write it on the command line.

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
    """Return the placeholder of an option's value."""
    numbers = {"int": "N", "float": "X"}
    return next((numbers[kind] for kind in parameter.kind.split(" | ") if kind in numbers), "VALUE")


def given_values(given: argparse.Namespace, parameters: Mapping[str, Parameter]) -> dict[str, Any]:
    """Return the values of the parameters that the command line gives."""
    return {
        name: _value(parameter, getattr(given, name))
        for name, parameter in parameters.items()
        if hasattr(given, name)
    }


def _value(parameter: Parameter, given: Any) -> Any:
    if isinstance(given, bool):
        return given
    if isinstance(given, list):
        return [parse_value(text) for text in given]
    return given if parameter.kind.split(" | ")[0] in TEXT else parse_value(given)


def parse_value(text: str) -> Any:
    """Return the value that a text stands for: none, true, false, a number, or the text itself.

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


def add_data(command: argparse._ActionsContainer, default: str = "$ADDAX_DATA, else builtin") -> None:
    """Add `--data`."""
    command.add_argument("--data", help=f'"builtin", "hub" or a folder (default: {default})')


def add_device(command: argparse._ActionsContainer) -> None:
    """Add `--device`."""
    command.add_argument(
        "--device", help='"cpu", "cuda", "cuda:N", or "auto" to shard (default: cuda if there is one)'
    )


def add_execution(command: argparse._ActionsContainer) -> None:
    """Add what says how a run works and is no part of its identity."""
    command.add_argument(
        "--wandb", metavar="MODE",
        help="offline (default where wandb is installed, but for suite quick), online or disabled",
    )  # fmt: skip
    command.add_argument(
        "--checkpoint-minutes", type=minutes, metavar="MINUTES", default=10.0,
        help="minutes between checkpoints; each evaluation saves one too (default: 10)",
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
    """Return (RunSpec.data, folder) for `--data`; without it, for $ADDAX_DATA, or else `otherwise`."""
    if data in ("builtin", "hub"):
        return data, None
    if data is None:
        folder = os.environ.get("ADDAX_DATA")
        return ("folder", folder) if folder else (otherwise, None)
    if not Path(data).is_dir():
        raise UserError(f"--data {data}: no such folder (or give builtin or hub)")
    return "folder", data


def device_of(device: str | None) -> str:
    """Return the device for `--device`, checked against what torch sees."""
    import torch

    if device is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(f"--device {device}: torch sees no GPU here")
    if device not in ("cpu", "auto") and not device.startswith("cuda"):
        raise UserError(f"--device {device}: give cpu, cuda, cuda:N or auto")
    return device
