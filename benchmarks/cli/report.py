"""Write the tables, figures, and page of a suite from its rows, and print a summary."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks import suites
from benchmarks.cli.parser import Parser
from benchmarks.cli.sweep import add_budget


def add_arguments(command: Parser, argv: Sequence[str]) -> None:
    """Add the suite, the options for its rows, and the options that replace the report."""
    command.add_argument("suite", nargs="?", default="quick", help="suite to report (default: quick)")
    add_budget(command)
    command.add_argument(
        "--rows", nargs="+", type=Path, metavar="DIR",
        help="folders whose rows to join, such as the shards of machines without a shared disk",
    )  # fmt: skip
    command.add_argument(
        "--commit-reference", action="store_true", help="copy the rows into results/reference/"
    )
    command.add_argument(
        "--against", choices=["reference"],
        help="write nothing; compare the runs with the committed runs of the suite",
    )  # fmt: skip
    command.add_argument(
        "--stale", action="store_true",
        help="write nothing; list the tables and figures of README.md and docs/ with stale rows",
    )  # fmt: skip
    command.add_argument(
        "--published", type=Path, metavar="FILE",
        help="CSV file of published numbers, in addition to results/published.csv",
    )  # fmt: skip


def main(args: argparse.Namespace) -> int:
    """Write the report, compare the runs with the committed ones, or list stale tables."""
    if args.stale:
        from benchmarks.docs import stale

        print(stale.listing(stale.entries()))
        return 0
    name = suites.rows_name(args.suite, args.budget)
    if args.against:
        from benchmarks.report import agreement

        print(agreement.report(name, rows_from=args.rows))
        return 0
    from benchmarks.report import build

    build.write_report(
        name,
        commit_reference=args.commit_reference,
        extra=args.published,
        rows_from=args.rows,
    )
    return 0
