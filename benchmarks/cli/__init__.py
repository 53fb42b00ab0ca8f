"""Command line, `python -m benchmarks COMMAND`: one module per command.

Each command's module defines `add_arguments(parser, argv)` and `main(args)`. No module imports torch, pandas,
or transformers before `main` runs, so `--help` and `list` are fast.
"""

import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from types import FrameType

from benchmarks.cli.parser import Parser
from benchmarks.errors import UserError, describe_os_error

COMMANDS = (
    "list",
    "run",
    "compare",
    "sweep",
    "plan",
    "study",
    "report",
    "plots",
    "docs",
    "fetch",
    "pretrain",
)
# A module named `list` would shadow the built-in function in this package.
MODULES = {name: name for name in COMMANDS} | {"list": "listing"}
# These commands continue where they were stopped.
RESUMABLE = ("run", "compare", "sweep")


class Terminated(KeyboardInterrupt):
    """SIGTERM, which stops a command as Ctrl-C does."""


def build_parser(argv: Sequence[str]) -> Parser:
    """Build the parser of all commands, with the options of the selected command.

    Args:
        argv: the command-line arguments. The options can depend on any of them (`run --method NAME`).
    """
    top = Parser(
        prog="python -m benchmarks",
        description="Benchmark the Addax optimizer and its baselines.",
        epilog="For the options of a command: python -m benchmarks COMMAND --help\n"
        "For a method, model, task, suite, study, or figure: python -m benchmarks list NAME",
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, file in MODULES.items():
        module = import_module(f"benchmarks.cli.{file}")
        first, _, more = module.__doc__.partition("\n")
        command = commands.add_parser(name, help=first.rstrip("."), description=f"{first}\n{more}".strip())
        command.set_defaults(main=module.main)
        if argv[:1] == [name]:
            module.add_arguments(command, argv[1:])
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    A `UserError` prints one line to stderr and returns exit code 2.
    """
    argv = [*(sys.argv[1:] if arguments is None else arguments)]
    try:
        args = build_parser(argv).parse_args(argv)
        with _stopped_by_sigterm():
            return args.main(args)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        raise
    except OSError as error:
        print(f"error: {describe_os_error(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        word, number = (
            ("terminated", signal.SIGTERM) if isinstance(stop, Terminated) else ("interrupted", signal.SIGINT)
        )
        remedy = (
            "finished runs and checkpoints are saved; to continue, run"
            if argv[0] in RESUMABLE
            else "to run the command again, enter"
        )
        print(f"{word}: {remedy}\n  python -m benchmarks {shlex.join(argv)}", file=sys.stderr)
        return 128 + number


@contextmanager
def _stopped_by_sigterm() -> Iterator[None]:
    """Raise `Terminated` on SIGTERM, which job schedulers send, and which works if SIGINT is ignored."""

    def stop(number: int, frame: FrameType | None) -> None:
        # A second signal must not interrupt the cleanup.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
