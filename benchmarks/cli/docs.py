"""Refresh the generated tables, numbers, and figures of README.md and docs/ from committed rows."""

import argparse
from collections.abc import Sequence

from benchmarks import registry
from benchmarks.cli.parser import Parser


def add_arguments(command: Parser, argv: Sequence[str]) -> None:
    """Add `--check`."""
    command.add_argument(
        "--check", action="store_true", help="write nothing; exit with code 1 if a page is out of date"
    )


def main(args: argparse.Namespace) -> int:
    """Refresh or check the pages."""
    from benchmarks import docs
    from benchmarks.cli import reference

    stale = docs.refresh(check=args.check, more=reference.tables())
    for file in stale:
        outcome = "out of date: run python -m benchmarks docs" if args.check else "refreshed"
        print(f"{file.relative_to(registry.ROOT)}: {outcome}")
    if not stale:
        print("All pages and figures are up to date.")
    return 1 if args.check and stale else 0
