"""Command line: `python -m plots FIGURE|all [--suite quick] [--rows GLOB] [--out DIR]`."""

import contextlib
import importlib
import sys
from pathlib import Path
from types import ModuleType

import pandas as pd

from benchmarks.errors import Parser, UserError, unknown, unwritten
from plots import _rows, _style

HERE = Path(__file__).resolve().parent
FIGURES = HERE / "figures"


def figures() -> list[str]:
    """Every figure's name: a file of this folder that does not begin with `_`."""
    return sorted(f.stem for f in HERE.glob("*.py") if not f.stem.startswith("_"))


def main(words: list[str] | None = None) -> int:
    """Draws what the command line asks for; returns the exit status."""
    parser = Parser("python -m plots", description="Figures from result rows, as PNG and PDF.")
    parser.add_argument("figure", metavar="FIGURE", help=f"all, {', '.join(figures())}")
    parser.add_argument("--suite", help="whose rows (default: the figure's own; quick for all)")
    parser.add_argument(
        "--rows", metavar="GLOB", help="your own rows instead: .json, or .jsonl with one a line"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: plots/figures/SUITE")
    try:
        asked = parser.parse_args(words)
        if asked.figure != "all" and asked.figure not in figures():
            raise unknown("figure", asked.figure, ["all", *figures()])
        suite = asked.suite or ("quick" if asked.figure == "all" else _module(asked.figure).SUITE)
        data = _rows.read_glob(asked.rows) if asked.rows else _rows.read(suite)
        print(f"{len(data)} rows from {data.attrs['source']}")
        if data.attrs.get("left_out"):
            print(f"{data.attrs['left_out']} more of earlier versions of their task's prompt: left out")
        out = asked.out or FIGURES / ("own" if asked.rows else suite)
        for file in render(asked.figure, data, out):
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


def _module(figure: str) -> ModuleType:
    return importlib.import_module(f"plots.{figure}")


def render(figure: str, data: pd.DataFrame, out: Path) -> list[Path]:
    """Draws one figure, or with "all" every one that the rows can fill; returns the files written.

    Raises:
        UserError: the rows hold nothing that the one figure asked for shows.
    """
    written = []
    for name in figures() if figure == "all" else [figure]:
        module = _module(name)
        # A figure shows runs, or what the one benchmark that it names measured.
        benchmark = getattr(module, "BENCHMARK", None)
        drawn = module.draw(data) if data.attrs.get("benchmark") == benchmark else {}
        if not drawn and figure != "all":
            command = f"benchmarks.{benchmark} --save" if benchmark else f"benchmarks sweep {module.SUITE}"
            raise UserError(f"no rows here that {name} shows: `python -m {command}` makes them")
        for stem, canvas in drawn.items():
            written += _style.save(canvas, out, stem)
    return written


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        sys.exit(main())
