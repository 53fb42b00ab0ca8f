"""Download a built-in model whose weights are not part of the repository."""

import argparse
from collections.abc import Sequence

from benchmarks.cli.parser import Parser


def add_arguments(command: Parser, argv: Sequence[str]) -> None:
    """Add the argument for the model's name."""
    command.add_argument("name", help="built-in model, such as smollm2-135m")


def main(args: argparse.Namespace) -> int:
    """Download the model and print the path of its folder."""
    from benchmarks.models import _fetch

    print(_fetch.fetch(args.name))
    return 0
