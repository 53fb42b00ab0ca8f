"""Command line: `python -m plots FIGURE|all [--suite quick] [--rows GLOB] [--out DIR]`."""

import argparse
import contextlib
import importlib
import sys
from pathlib import Path
from types import ModuleType

import pandas as pd
from matplotlib.figure import Figure

from benchmarks.errors import Parser, UserError, unknown, unwritten
from benchmarks.results import comparable as _apart
from benchmarks.results import frame as _rows
from plots import _style

HERE = Path(__file__).resolve().parent
FIGURES = HERE / "figures"


def figures() -> list[str]:
    """Every figure's name: a file of this folder that does not begin with `_`."""
    return sorted(f.stem for f in HERE.glob("*.py") if not f.stem.startswith("_"))


def main(words: list[str] | None = None) -> int:
    """Draws what the command line asks for; returns the exit status."""
    parser = Parser("python -m plots", description="Figures from result rows, as PNG and PDF.")
    parser.add_argument("figure", metavar="FIGURE", help=f"all, {', '.join(figures())}")
    parser.add_argument(
        "--suite", help="whose rows, also one of your own (default: the figure's; quick for all)"
    )
    parser.add_argument(
        "--rows", metavar="GLOB", help="your own rows instead: .json, or .jsonl with one a line"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: plots/figures/SUITE, or own")
    try:
        asked = parser.parse_args(words)
        if asked.figure != "all" and asked.figure not in figures():
            raise unknown("figure", asked.figure, ["all", *figures()])
        data, folder = _asked(asked)
        for file in render(asked.figure, data, asked.out or FIGURES / folder):
            print(file)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        raise
    except OSError as error:
        print(f"error: {unwritten(error)}", file=sys.stderr)
        return 2
    return 0


def _asked(asked: argparse.Namespace) -> tuple[pd.DataFrame, str]:
    """The rows to draw, and the name of the folder that the figures belong in."""
    suite = "quick" if asked.figure == "all" else module_of(asked.figure).SUITE
    if suite is None:
        if asked.rows or asked.suite:
            raise UserError(f"{asked.figure} is drawn from no rows: leave --rows and --suite out")
        return _rows.frame([]), asked.figure
    suite = asked.suite or suite
    data = _rows.read_glob(asked.rows) if asked.rows else _rows.read(suite, maker=_benchmark(suite))
    print(f"{len(data)} rows from {data.attrs['source']}")
    for line in _apart.lines(data.attrs.get("apart", ())):
        print(line)
    return data, "own" if asked.rows else suite


def module_of(figure: str) -> ModuleType:
    """The file that draws a figure."""
    return importlib.import_module(f"plots.{figure}")


def maker(module: ModuleType) -> str:
    """The command that makes a figure's rows."""
    study = getattr(module, "STUDY", None)
    return f"benchmarks study {study} --save" if study else f"benchmarks sweep {module.SUITE}"


def _benchmark(suite: str) -> str | None:
    """What makes the rows of a name that is a benchmark's, and None for a suite's."""
    modules = map(module_of, figures())
    return next((maker(m) for m in modules if getattr(m, "STUDY", None) == suite), None)


def draw(figure: str, data: pd.DataFrame) -> dict[str, dict[str, Figure]]:
    """One figure, or with "all" every one that the rows can fill: name -> file stem -> what is drawn.

    A figure whose `SUITE` is None is drawn from no rows, and so by its own name alone.

    Raises:
        UserError: the rows hold nothing that the one figure asked for shows.
    """
    found = {}
    for name in figures() if figure == "all" else [figure]:
        module = module_of(name)
        if module.SUITE is None and figure == "all":
            continue
        # A figure shows runs, or what the one benchmark that it names measured.
        own = data.attrs.get("study") == getattr(module, "STUDY", None)
        drawn = module.draw(data) if own else {}
        if not drawn and figure != "all":
            raise UserError(f"no rows here that {name} shows: `python -m {maker(module)}` makes them")
        if drawn:
            found[name] = drawn
    return found


def save(drawn: dict[str, dict[str, Figure]], out: Path) -> list[Path]:
    """Writes what `draw` gives; returns the files."""
    return [
        file
        for canvases in drawn.values()
        for stem, canvas in canvases.items()
        for file in _style.save(canvas, out, stem)
    ]


def render(figure: str, data: pd.DataFrame, out: Path) -> list[Path]:
    """`save` of `draw`."""
    return save(draw(figure, data), out)


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        sys.exit(main())
