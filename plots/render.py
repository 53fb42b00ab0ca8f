"""Draw figures from result rows and save them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

import pandas as pd
from matplotlib.figure import Figure

from benchmarks import registry
from benchmarks.errors import UserError, unknown
from benchmarks.results.frame import Results
from plots._fit import fit
from plots._style import DPI, FONT_SIZE, PAGE, Page, file_stem

HERE = Path(__file__).resolve().parent
FIGURES = HERE / "figures"
# Figures of every suite's report; a suite adds those that name it.
DEFAULTS = ("figure1", "convergence")
# Files carry no date: the same rows give the same bytes.
UNDATED = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "svg": {"Creator": None, "Date": None},
}
FORMATS = (*UNDATED, "csv")


def figures() -> list[str]:
    """Return every figure's name: a file of this folder that does not begin with `_`."""
    return sorted(f.stem for f in HERE.glob("*.py") if f.stem[0] != "_" and f.stem != "render")


def module_of(figure: str) -> ModuleType:
    """Return the file that draws a figure; `UserError` naming the nearest one if there is none."""
    if figure not in figures():
        raise unknown("figure", figure, ["all", *figures()])
    module = registry.module("figure", figure)
    if not hasattr(module, "SUITE") and not hasattr(module, "STUDY"):
        raise UserError(f"{registry.path('figure', figure)}: binds no SUITE or STUDY, whose rows it shows")
    return module


def about(figure: str) -> str:
    """Return what a figure shows: the first line of its file."""
    return (module_of(figure).__doc__ or figure).split("\n", 1)[0]


def rows_of(figure: str) -> str | None:
    """Return the suite or study whose rows a figure shows by default; None if it shows no rows."""
    module = module_of(figure)
    return getattr(module, "STUDY", None) or module.SUITE


def command_for(figure: str) -> str:
    """Return the command that makes a figure's rows."""
    module = module_of(figure)
    study = getattr(module, "STUDY", None)
    return f"python -m benchmarks {f'study {study} --save' if study else f'sweep {module.SUITE}'}"


def defaults(suite: str) -> list[str]:
    """Return the figures that the report of a suite draws where its rows fill them."""
    return [f for f in figures() if f in DEFAULTS or suite == getattr(module_of(f), "SUITE", None)]


def draw(
    names: Sequence[str], results: Results, page: Page = PAGE, axis: str | None = None
) -> dict[str, dict[str, Figure]]:
    """Draw those figures that the rows fill.

    Args:
        names: of figures.
        results: rows of one suite or study, whatever the figures need.
        page: size of the figures and of their text.
        axis: the budget that `convergence` is drawn against; None takes each suite's own.

    Returns:
        For each figure that the rows fill: file stem -> what is drawn.
    """
    found = {}
    for name in names:
        module = module_of(name)
        if getattr(module, "STUDY", None) != results.study:
            continue
        options = {"axis": axis} if name == "convergence" else {}
        with page.style():
            drawn = module.draw(results, page, **options)
            for canvas in drawn.values():
                fit(canvas)
        if drawn:
            found[name] = drawn
    return found


def render(
    name: str,
    results: Results,
    out: Path,
    formats: Sequence[str] = ("png",),
    width: float | None = None,
    font_size: float | None = None,
    methods: Sequence[str] | None = None,
    axis: str | None = None,
) -> list[Path]:
    """Draw one figure, or with "all" every one that the rows fill, and save it.

    Args:
        name: of a figure, or "all".
        results: the rows; those of a figure that shows none may be empty.
        out: folder of the files.
        formats: "png", "pdf", and "svg"; "csv" writes the numbers that a figure shows.
        width: inches; None is one printed column for a single panel (3.3), or two (6.9).
        font_size: points of labels; None is 7.5.
        methods: labels to draw; None draws all.
        axis: the budget that `convergence` is drawn against: "steps", "seconds", "examples", or
            "forward-equivalents"; None takes the suite's own.

    Returns:
        The files.

    Raises:
        UserError: an unknown figure, format, method, or axis; a size that is not positive; or rows that
            hold nothing that the figure shows.
    """
    for kind in formats:
        if kind not in FORMATS:
            raise unknown("figure format", kind, FORMATS)
    if axis is not None and name not in ("all", "convergence"):
        raise UserError(f"{name} has no axis to choose: only convergence has")
    page = Page(width, FONT_SIZE if font_size is None else font_size)
    if methods:
        results = results.only(methods)
    # A figure that shows no rows is drawn by its own name alone.
    names = [figure for figure in figures() if rows_of(figure)] if name == "all" else [name]
    drawn = draw(names, results, page, axis)
    if not drawn and name != "all":
        raise UserError(f"no rows here that {name} shows: `{command_for(name)}` makes them")
    return save(drawn, out, formats, page, results, axis)


def save(
    drawn: dict[str, dict[str, Figure]],
    out: Path,
    formats: Sequence[str] = ("png",),
    page: Page = PAGE,
    results: Results | None = None,
    axis: str | None = None,
) -> list[Path]:
    """Write what `draw` returns; the same rows give the same bytes.

    Args:
        drawn: figures by name and file stem.
        out: folder of the files.
        formats: see `render`.
        page: the page that the figures were drawn for.
        results, axis: what the figures were drawn from, for "csv".
    """
    out.mkdir(parents=True, exist_ok=True)
    files = []
    for name, canvases in drawn.items():
        tables = numbers(name, results, axis) if "csv" in formats else {}
        for stem, canvas in canvases.items():
            for kind in formats:
                files.append(out / f"{file_stem(stem)}.{kind}")
                if kind == "csv":
                    table = tables.get(stem, results.runs)
                    table.to_csv(files[-1], index=False, lineterminator="\n")
                    continue
                with page.style():
                    canvas.savefig(files[-1], dpi=DPI, metadata=UNDATED[kind])
    return files


def save_png(canvas: Figure, file: Path, metadata: Mapping[str, str | None], page: Page = PAGE) -> None:
    """Write one figure that `draw` returned as a PNG.

    Args:
        canvas: the figure.
        file: where to write it.
        metadata: entries of text to store in the file.
        page: the page that the figure was drawn for.
    """
    with page.style():
        canvas.savefig(file, dpi=DPI, metadata={**UNDATED["png"], **metadata})


def numbers(name: str, results: Results, axis: str | None = None) -> dict[str, pd.DataFrame]:
    """Return the numbers that each canvas of a figure shows, by file stem, where those are not all rows."""
    module = module_of(name)
    options = {"axis": axis} if name == "convergence" else {}
    return module.numbers(results, **options) if hasattr(module, "numbers") else {}
