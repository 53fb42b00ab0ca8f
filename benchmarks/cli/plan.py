"""Find the batch sizes and length thresholds (L_T) that fit on a GPU, and predict each method's memory."""

import argparse
import itertools
from collections.abc import Sequence

from benchmarks import registry
from benchmarks.cli import options
from benchmarks.cli.describe import method_settings, run_fields
from benchmarks.cli.parser import Parser
from benchmarks.errors import UserError
from benchmarks.memory import plan_cli

MAIN = ("method", "model", "task", "data", "dtype")
# Fields that are not options: the planner varies the first two, and always plans for one GPU.
NOT_OPTIONS = ("gradient_checkpointing", "length_threshold", "device")


def add_arguments(command: Parser, argv: Sequence[str]) -> None:
    """Add the model, the task, the GPU memory, and the fields and settings that a plan does not vary."""
    command.usage = "%(prog)s --model NAME --task NAME --gpu-memory SIZE [options]"
    command.epilog = plan_cli.EPILOG
    fields = run_fields()
    for name in ("model", "task"):
        command.add_argument(f"--{name}", required=True, metavar="NAME", help=fields[name].help)
    command.add_argument(
        "--gpu-memory", required=True, metavar="SIZE", help="GPU memory, such as 40GB or 39.4GiB"
    )
    command.add_argument(
        "--method", nargs="+", metavar="NAME", help="methods to plan for (default: those of this suite)"
    )
    command.add_argument("--dtype", default="bfloat16", help="dtype of the model (default: bfloat16)")
    lengths = command.add_mutually_exclusive_group()
    lengths.add_argument(
        "--length-file", metavar="FILE", help="file of example lengths in tokens, one per line"
    )
    options.add_data(lengths)
    command.add_argument(
        "--tokenizer",
        metavar="MODEL",
        help="model whose tokenizer counts tokens (default: the model's own, if it is available locally)",
    )
    command.add_argument("--json", action="store_true", help="print the plan as JSON")
    options.add_parameters(command.add_argument_group("fields of the runs"), _fields().values())
    settings = _settings(_named(argv)).values()
    options.add_parameters(command.add_argument_group("settings of methods"), settings)
    command.explain = unsupported_option


def _fields() -> dict:
    return {name: field for name, field in run_fields().items() if name not in (*MAIN, *NOT_OPTIONS)}


def _named(argv: Sequence[str]) -> list[str]:
    """Return the methods that a command line names; without any, the methods of this repository."""
    after = itertools.dropwhile(lambda word: word.partition("=")[0] != "--method", argv)
    first = next(after, "").partition("=")[2]
    following = itertools.takewhile(lambda word: not word.startswith("--"), after)
    return [*([first] if first else following)] or list(registry.files("method"))


def _settings(methods: Sequence[str]) -> dict:
    found = {}
    for method in reversed(methods):
        found |= method_settings(method)
    return dict(sorted(found.items(), key=lambda item: item[0] != "lr"))


def unsupported_option(option: str) -> UserError | None:
    """Return the error for a field that is not an option of `plan`; None for other unknown options."""
    if option.removeprefix("--").removeprefix("no-").replace("-", "_") in NOT_OPTIONS:
        return UserError(
            f"plan does not accept {option}: it varies checkpointing and length thresholds, on one GPU"
        )
    return None


def main(args: argparse.Namespace) -> int:
    """Print the plan; return 1 if nothing fits."""
    data, folder = ("builtin", None) if args.length_file else options.source_of(args.data)
    values = options.given_values(args, _fields() | _settings(args.method or list(registry.files("method"))))
    return plan_cli.main(args, folder or data, values)
