"""Pretrain a nano model on the built-in language, as its committed weights were."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks import models
from benchmarks.cli.parser import Parser
from benchmarks.errors import unknown


def add_arguments(command: Parser, words: Sequence[str]) -> None:
    """Add the model and the folder to write to."""
    command.add_argument("name", help="a nano model: nano-opt, nano-llama or nano-roberta")
    command.add_argument(
        "--out", type=Path, default=models.WEIGHTS, metavar="DIR",
        help="folder of the models' folders (default: benchmarks/models/weights)",
    )  # fmt: skip


def main(given: argparse.Namespace) -> int:
    """Pretrain and save."""
    names = [name for name in models.builtin() if name.startswith("nano-")]
    if given.name not in names:
        raise unknown("nano model", given.name, names)
    from benchmarks.synthetic import pretrain

    pretrain.write(given.name, given.out, report=lambda line: print(line, flush=True))
    return 0
