"""Make tables, figures, a page and a summary from a suite's rows."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks import suites
from benchmarks.cli.parser import Parser
from benchmarks.cli.sweep import add_budget


def add_arguments(command: Parser, words: Sequence[str]) -> None:
    """Add the suite and where its rows are."""
    command.add_argument("suite", nargs="?", default="quick", help="a suite (default: quick)")
    add_budget(command)
    command.add_argument(
        "--rows", nargs="+", type=Path, metavar="DIR",
        help="folders of rows to join, such as those of shards that share no disk",
    )  # fmt: skip
    command.add_argument(
        "--commit-reference", action="store_true", help="copy the rows into results/reference/"
    )
    command.add_argument(
        "--published", type=Path, metavar="FILE", help="CSV of printed numbers besides results/published.csv"
    )


def main(given: argparse.Namespace) -> int:
    """Write the report."""
    from benchmarks.report import build

    build.write_report(
        suites.rows_name(given.suite, given.budget),
        commit_reference=given.commit_reference,
        extra=given.published,
        rows_from=given.rows,
    )
    return 0
