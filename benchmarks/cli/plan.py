"""Find what fits on a GPU: batches, L_T and memory of every method."""

import argparse
from collections.abc import Sequence

from benchmarks import registry
from benchmarks.cli import options
from benchmarks.cli.describe import method_settings, run_fields
from benchmarks.cli.parser import Parser
from benchmarks.errors import UserError
from benchmarks.memory import plan_cli

MAIN = ("method", "model", "task", "data", "dtype")
# What a plan varies.
TRIED = ("gradient_checkpointing", "length_threshold", "device")


def add_arguments(command: Parser, words: Sequence[str]) -> None:
    """Add the model, the task, the memory, and everything of a run that a plan takes as given."""
    command.usage = "%(prog)s --model NAME --task NAME --gpu-memory SIZE [options]"
    command.epilog = plan_cli.EPILOG
    fields = run_fields()
    for name in ("model", "task"):
        command.add_argument(f"--{name}", required=True, metavar="NAME", help=fields[name].help)
    command.add_argument(
        "--gpu-memory", required=True, metavar="SIZE", help="memory of the GPU, such as 40GB or 39.4GiB"
    )
    command.add_argument("--method", nargs="+", metavar="NAME", help="methods to plan for (default: all)")
    command.add_argument("--dtype", default="bfloat16", help="dtype of the model (default: bfloat16)")
    lengths = command.add_mutually_exclusive_group()
    lengths.add_argument("--length-file", metavar="FILE", help="lengths of examples in tokens, one a line")
    options.add_data(lengths)
    command.add_argument(
        "--tokenizer",
        metavar="MODEL",
        help="model whose tokens count (default: the model's own, if it is here)",
    )
    command.add_argument("--json", action="store_true", help="print JSON")
    options.add_parameters(command.add_argument_group("fields of the runs"), _fields().values())
    options.add_parameters(command.add_argument_group("settings of methods"), _settings().values())
    command.explain = tried


def _fields() -> dict:
    return {name: field for name, field in run_fields().items() if name not in (*MAIN, *TRIED)}


def _settings() -> dict:
    found = {}
    for method in reversed(registry.files("method")):
        found |= method_settings(method)
    return dict(sorted(found.items(), key=lambda item: item[0] != "lr"))


def tried(option: str) -> UserError | None:
    """Return the error for an option that a plan varies."""
    if option.removeprefix("--").removeprefix("no-").replace("-", "_") in TRIED:
        return UserError(f"plan has no {option}: it tries checkpointing and length thresholds itself")
    return None


def main(given: argparse.Namespace) -> int:
    """Plan and print; 1 if nothing fits."""
    data, folder = ("builtin", None) if given.length_file else options.source_of(given.data)
    values = options.given_values(given, _fields() | _settings())
    return plan_cli.main(given, folder or data, values)
