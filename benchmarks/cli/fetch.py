"""Download a built-in model whose weights do not ship with the suite."""

import argparse
from collections.abc import Sequence

from benchmarks.cli.parser import Parser


def add_arguments(command: Parser, words: Sequence[str]) -> None:
    """Add the model's name."""
    command.add_argument("name", help="a built-in model, such as smollm2-135m")


def main(given: argparse.Namespace) -> int:
    """Download the model and print its folder."""
    from benchmarks.models import _fetch

    print(_fetch.fetch(given.name))
    return 0
