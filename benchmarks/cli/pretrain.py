"""Pretrain a nano model on the built-in language, in the same way as the committed weights."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks import models
from benchmarks.cli.parser import Parser
from benchmarks.errors import unknown


def add_arguments(command: Parser, argv: Sequence[str]) -> None:
    """Add the model and the output folder."""
    command.add_argument("name", help="nano model: nano-opt, nano-llama, or nano-roberta")
    command.add_argument(
        "--out", type=Path, default=models.WEIGHTS, metavar="DIR",
        help="parent of the model's folder (default: benchmarks/models/weights)",
    )  # fmt: skip


def main(args: argparse.Namespace) -> int:
    """Pretrain the model and save its weights."""
    names = [name for name in models.builtin() if name.startswith("nano-")]
    if args.name not in names:
        raise unknown("nano model", args.name, names)
    from benchmarks.synthetic import pretrain

    pretrain.write(args.name, args.out, report=lambda line: print(line, flush=True))
    return 0
