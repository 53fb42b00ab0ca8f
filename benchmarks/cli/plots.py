"""Draw figures from result rows."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks import registry
from benchmarks.cli.parser import Parser
from benchmarks.errors import UserError, unknown

FORMATS = ("png", "pdf", "svg", "csv")


def add_arguments(command: Parser, argv: Sequence[str]) -> None:
    """Add the options for the figure, its rows, and its style."""
    names = registry.files("figure")
    lines = [f"  {name:<22} {registry.summary('figure', name)}" for name in names]
    command.epilog = "\n".join(["figures:", *lines])
    command.add_argument(
        "figure", metavar="NAME", help="a figure (see below), or all for every figure that the rows can fill"
    )
    rows = command.add_argument_group("rows")
    rows.add_argument(
        "--suite", help="suite or study whose rows are drawn (default: the figure's own; quick for all)"
    )
    rows.add_argument(
        "--rows",
        metavar="GLOB",
        help="your own rows instead: .json files, or .jsonl files with one row per line",
    )
    rows.add_argument(
        "--methods", nargs="+", metavar="LABEL", help="labels of the methods to draw (default: all)"
    )
    style = command.add_argument_group("style")
    style.add_argument(
        "--axis", metavar="BUDGET",
        help="budget on the x axis of convergence: steps, seconds, examples, or forward-equivalents "
        "(default: the suite's budget)",
    )  # fmt: skip
    style.add_argument(
        "--format",
        nargs="+",
        default=["png"],
        metavar="FORMAT",
        help=f"file formats: {', '.join(FORMATS)} (default: png)",
    )
    style.add_argument(
        "--width", type=float, metavar="INCHES", help="width of the figure (default: depends on the figure)"
    )
    style.add_argument("--font-size", type=float, metavar="PT", help="font size of the labels (default: 7.5)")
    command.add_argument(
        "--out", type=Path, metavar="DIR", help="output folder (default: plots/figures/SUITE)"
    )


def main(args: argparse.Namespace) -> int:
    """Draw and save the figures, and print the paths of their files."""
    if args.figure != "all" and args.figure not in registry.files("figure"):
        raise unknown("figure", args.figure, ["all", *registry.files("figure")])
    for name in ("width", "font_size"):
        value = getattr(args, name)
        if value is not None and not 0 < value < float("inf"):
            raise UserError(f"--{name.replace('_', '-')} must be positive, not {value:g}")
    from plots import render

    results, folder = rows_to_draw(args)
    for file in render.render(
        args.figure,
        results,
        args.out or render.FIGURES / folder,
        formats=args.format,
        width=args.width,
        font_size=args.font_size,
        methods=args.methods,
        axis=args.axis,
    ):
        print(file)
    return 0


def rows_to_draw(args: argparse.Namespace) -> tuple:
    """Return the rows to draw and the name of the folder for the figures."""
    from benchmarks.results import comparable, sources
    from benchmarks.results.frame import Results
    from plots import render

    suite = "quick" if args.figure == "all" else render.rows_of(args.figure)
    if suite is None:
        if args.rows or args.suite:
            raise UserError(f"{args.figure} does not use result rows: remove --rows and --suite")
        return Results.of([]), args.figure
    if args.rows:
        rows, source = sources.match_rows(args.rows), args.rows
    else:
        rows, source = sources.load_rows(args.suite or suite)
    results = Results.of(rows, source)
    print(f"{len(rows)} rows from {source}")
    for line in comparable.lines(results.excluded):
        print(line)
    return results, "own" if args.rows else args.suite or suite
