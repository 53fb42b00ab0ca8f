"""Run a study: a micro-benchmark that prints a table.

--save merges the rows into results/reference/NAME.jsonl, the source of tables and figures. --save-to merges
them into a file of another folder.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import registry
from benchmarks.cli.parser import Parser
from benchmarks.errors import UserError


def add_arguments(command: Parser, argv: Sequence[str]) -> None:
    """Add the study's name, `--save`, and the options of the study that the command line names."""
    names = registry.files("study")
    lines = [f"  {name:<18} {registry.summary('study', name)}" for name in names]
    command.add_argument(
        "name", metavar="NAME", help="study to run; to list all studies: python -m benchmarks list"
    )
    command.add_argument(
        "--save", action="store_true", help="merge the rows into results/reference/NAME.jsonl"
    )
    command.add_argument(
        "--save-to", metavar="DIR", type=Path, help="merge the rows into DIR/NAME.jsonl instead"
    )
    name = next((word for word in argv if not word.startswith("-")), None)
    if name is None:
        command.epilog = "\n".join(
            ["studies:", *lines, "", "For the options of a study: python -m benchmarks study NAME --help"]
        )
        return
    from benchmarks import studies

    study, module = studies.load(name), registry.module("study", name)
    command.description = module.__doc__.strip()
    group = command.add_argument_group(f"options of {name}")
    for option in study.options:
        default = (
            "" if option.default is None or "default:" in option.help else f" (default: {option.default})"
        )
        choices = f": {', '.join(option.choices)}" if option.choices and not option.many else ""
        group.add_argument(
            f"--{option.name}",
            type=option.type,
            default=option.default,
            choices=option.choices,
            nargs="+" if option.many else None,
            metavar=option.metavar or ("N" if option.type is int else "VALUE"),
            help=f"{option.help}{choices}{default}".replace("%", "%%"),
        )


def main(args: argparse.Namespace) -> int:
    """Run the study, print its table, and save the rows if requested; return 1 if the rows show a problem."""
    from benchmarks import studies

    study = studies.load(args.name)
    for option in study.options:
        value = getattr(args, option.name.replace("-", "_"))
        if option.type is int and value is not None and value < 1:
            raise UserError(f"--{option.name} must be at least 1, not {value}")
    rows, saved = [], None
    for part in studies.measured(study, args, lambda line: print(line, file=sys.stderr, flush=True)):
        rows += part
        if args.save or args.save_to:
            saved = studies.save(args.name, part, args.save_to)
    print(study.table(rows))
    if saved:
        print(os.path.relpath(saved, registry.ROOT))
    if args.save and not args.save_to:
        figures = "".join(f"; python -m benchmarks plots {name}" for name in study.figures)
        print(f"next: python -m benchmarks docs{figures}")
    problem = study.problem(rows) if study.problem else None
    if problem:
        print(problem, file=sys.stderr)
    return 1 if problem else 0
