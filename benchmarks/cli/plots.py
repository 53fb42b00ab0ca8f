"""Draw figures from result rows."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks import registry
from benchmarks.cli.parser import Parser
from benchmarks.errors import UserError, unknown

FORMATS = ("png", "pdf", "svg", "csv")


def add_arguments(command: Parser, words: Sequence[str]) -> None:
    """Add the figure, its rows, and its look."""
    names = registry.files("figure")
    lines = [f"  {name:<22} {registry.summary('figure', name)}" for name in names]
    command.epilog = "\n".join(["figures:", *lines])
    command.add_argument("figure", metavar="NAME", help="a figure (see below), or all that the rows fill")
    rows = command.add_argument_group("rows")
    rows.add_argument("--suite", help="suite or study of the rows (default: the figure's; quick for all)")
    rows.add_argument(
        "--rows", metavar="GLOB", help="rows of your own: .json files, or .jsonl with one a line"
    )
    rows.add_argument("--methods", nargs="+", metavar="LABEL", help="labels to draw (default: all)")
    look = command.add_argument_group("look")
    look.add_argument(
        "--axis", metavar="BUDGET",
        help="budget on the axis of convergence: steps, seconds, examples or forward-equivalents "
        "(default: the suite's)",
    )  # fmt: skip
    look.add_argument(
        "--format", nargs="+", default=["png"], metavar="FORMAT", help=f"{', '.join(FORMATS)} (default: png)"
    )
    look.add_argument(
        "--width", type=float, metavar="INCHES", help="width of a figure (default: its usual one)"
    )
    look.add_argument("--font-size", type=float, metavar="PT", help="size of labels (default: 7.5)")
    command.add_argument("--out", type=Path, metavar="DIR", help="folder (default: plots/figures/SUITE)")


def main(given: argparse.Namespace) -> int:
    """Draw, save, and print the files."""
    if given.figure != "all" and given.figure not in registry.files("figure"):
        raise unknown("figure", given.figure, ["all", *registry.files("figure")])
    for name in ("width", "font_size"):
        value = getattr(given, name)
        if value is not None and not 0 < value < float("inf"):
            raise UserError(f"--{name.replace('_', '-')} must be positive, not {value:g}")
    from plots import render

    results, folder = rows_to_draw(given)
    for file in render.render(
        given.figure,
        results,
        given.out or render.FIGURES / folder,
        formats=given.format,
        width=given.width,
        font_size=given.font_size,
        methods=given.methods,
        axis=given.axis,
    ):
        print(file)
    return 0


def rows_to_draw(given: argparse.Namespace) -> tuple:
    """Return the rows to draw, and the name of the folder that the figures belong in."""
    from benchmarks.results import comparable, sources
    from benchmarks.results.frame import Results
    from plots import render

    suite = "quick" if given.figure == "all" else render.rows_of(given.figure)
    if suite is None:
        if given.rows or given.suite:
            raise UserError(f"{given.figure} shows no rows: leave out --rows and --suite")
        return Results.of([]), given.figure
    if given.rows:
        rows, source = sources.match_rows(given.rows), given.rows
    else:
        rows, source = sources.load_rows(given.suite or suite)
    results = Results.of(rows, source)
    print(f"{len(rows)} rows from {source}")
    for line in comparable.lines(results.excluded):
        print(line)
    return results, "own" if given.rows else given.suite or suite
