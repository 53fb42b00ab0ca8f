"""The command line, `python -m benchmarks COMMAND`: one module per command.

A command's module has `add_arguments(parser, words)` and `main(given)`. None of them imports torch, pandas or
transformers before `main`, so that `--help` and `list` answer at once.
"""

import shlex
import sys
from collections.abc import Sequence
from importlib import import_module

from benchmarks.cli.parser import Parser
from benchmarks.errors import UserError, describe_os_error

COMMANDS = ("list", "run", "sweep", "plan", "study", "report", "plots", "docs", "fetch", "pretrain")
# A module `list` would hide the built-in function in this package.
MODULES = {name: name for name in COMMANDS} | {"list": "listing"}


def build_parser(words: Sequence[str]) -> Parser:
    """Build the parser of all commands, with the options of the command that the words name.

    Args:
        words: the command line; options may depend on all of it (`run --method NAME`).
    """
    top = Parser(
        prog="python -m benchmarks",
        description="Benchmarks of the Addax optimizer and its baselines.",
        epilog="python -m benchmarks COMMAND --help explains a command; list NAME explains a method, task, "
        "model, suite, study or figure.",
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, file in MODULES.items():
        module = import_module(f"benchmarks.cli.{file}")
        first, _, more = module.__doc__.partition("\n")
        command = commands.add_parser(name, help=first.rstrip("."), description=f"{first}\n{more}".strip())
        command.set_defaults(main=module.main)
        if words[:1] == [name]:
            module.add_arguments(command, words[1:])
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return the exit code: 2 for a user's mistake, which is one line on stderr."""
    # Not `list(...)`: the package has a module of that name.
    words = [*(sys.argv[1:] if arguments is None else arguments)]
    try:
        given = build_parser(words).parse_args(words)
        return given.main(given)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        raise
    except OSError as error:
        print(f"error: {describe_os_error(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            "stopped: finished runs and checkpoints are kept; continue with\n"
            f"  python -m benchmarks {shlex.join(words)}",
            file=sys.stderr,
        )
        return 130
