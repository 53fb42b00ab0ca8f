"""Run a study: a micro-benchmark that prints a table.

--save merges its rows into results/reference/NAME.jsonl, from which pages and figures are made.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from benchmarks import registry
from benchmarks.cli.parser import Parser
from benchmarks.errors import UserError


def add_arguments(command: Parser, words: Sequence[str]) -> None:
    """Add the study's name, `--save`, and the options of the study that the words name."""
    names = registry.files("study")
    lines = [f"  {name:<18} {registry.summary('study', name)}" for name in names]
    command.add_argument("name", metavar="NAME", help="a study; python -m benchmarks list shows them")
    command.add_argument("--save", action="store_true", help="keep the rows in results/reference/")
    name = next((word for word in words if not word.startswith("-")), None)
    if name is None:
        command.epilog = "\n".join(
            ["studies:", *lines, "", "python -m benchmarks study NAME --help shows the options of a study."]
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


def main(given: argparse.Namespace) -> int:
    """Measure, print the table, and save if asked; 1 if the rows show a problem."""
    from benchmarks import studies

    study = studies.load(given.name)
    for option in study.options:
        value = getattr(given, option.name.replace("-", "_"))
        if option.type is int and value is not None and value < 1:
            raise UserError(f"--{option.name} must be at least 1, not {value}")
    rows = study.measure(given, lambda line: print(line, file=sys.stderr, flush=True))
    print(study.table(rows))
    if given.save:
        print(os.path.relpath(studies.save(given.name, rows), registry.ROOT))
        figures = "".join(f"; python -m benchmarks plots {name}" for name in study.figures)
        print(f"next: python -m benchmarks docs{figures}")
    problem = study.problem(rows) if study.problem else None
    if problem:
        print(problem, file=sys.stderr)
    return 1 if problem else 0
