"""Draw figures from result rows and save them."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from benchmarks import registry
from benchmarks.errors import UserError, unknown
from benchmarks.results.frame import Results
from benchmarks.results.sources import known_rows
from plots._fit import fit
from plots._style import DPI, FONT_SIZE, PAGE, Page, file_stem

# Name of a suite -> its rows; empty if there are none.
RowsOf = Callable[[str], Sequence[Mapping[str, Any]]]

HERE = Path(__file__).resolve().parent
FIGURES = HERE / "figures"
# Figures in the report of every suite. A figure whose `SUITE` names a suite is added to that suite's report.
DEFAULTS = ("figure1", "convergence", "tradeoff")
# These files contain no dates or versions, so the same rows give the same bytes.
UNDATED = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "svg": {"Creator": None, "Date": None},
}
FORMATS = (*UNDATED, "csv")


def figures() -> list[str]:
    """Return the names of all figures: the modules in this folder without a leading `_`."""
    return sorted(f.stem for f in HERE.glob("*.py") if f.stem[0] != "_" and f.stem != "render")


def module_of(figure: str) -> ModuleType:
    """Return the module that draws a figure.

    Raises:
        UserError: if the figure does not exist (the message suggests the nearest name), or if its module sets
            neither `SUITE` nor `STUDY`.
    """
    if figure not in figures():
        raise unknown("figure", figure, ["all", *figures()])
    module = registry.module("figure", figure)
    if not hasattr(module, "SUITE") and not hasattr(module, "STUDY"):
        raise UserError(
            f"{registry.path('figure', figure)}: set SUITE or STUDY to the name of the suite or study whose "
            "rows the figure shows"
        )
    return module


def about(figure: str) -> str:
    """Return the description of a figure: the first line of its module's docstring."""
    return (module_of(figure).__doc__ or figure).split("\n", 1)[0]


def rows_of(figure: str) -> str | None:
    """Return the suite or study whose rows a figure shows by default; None if it needs no rows."""
    module = module_of(figure)
    return getattr(module, "STUDY", None) or module.SUITE


def command_for(figure: str) -> str:
    """Return the command that produces a figure's rows."""
    module = module_of(figure)
    study = getattr(module, "STUDY", None)
    return f"python -m benchmarks {f'study {study} --save' if study else f'sweep {module.SUITE}'}"


def defaults(suite: str) -> list[str]:
    """Return the figures in the report of a suite; `draw` skips those that lack rows."""
    return [f for f in figures() if f in DEFAULTS or suite == getattr(module_of(f), "SUITE", None)]


def draw(
    names: Sequence[str],
    results: Results,
    page: Page = PAGE,
    axis: str | None = None,
    rows_of: RowsOf = known_rows,
) -> dict[str, dict[str, Figure]]:
    """Draw figures, skipping those that cannot be drawn from the rows.

    Args:
        names: names of figures.
        results: rows of one suite or study.
        page: size of the figures and of their text.
        axis: the budget on the x axis of `convergence`; None selects the budget of each suite.
        rows_of: returns the rows of another suite that a figure takes the cost of steps from.

    Returns:
        Name of a figure -> file stem -> matplotlib figure.
    """
    found = {}
    for name in names:
        module = module_of(name)
        if getattr(module, "STUDY", None) != results.study:
            continue
        options = _options(name, axis, rows_of)
        with page.style():
            drawn = module.draw(results, page, **options)
            for canvas in drawn.values():
                _add_under_head(canvas, results.directions)
                fit(canvas)
        if drawn:
            found[name] = drawn
    return found


def _add_under_head(figure: Figure, note: str) -> None:
    """Add a note under a figure's title: its own, that of the legend above, or that of a single panel."""
    if not note:
        return
    titles = [figure._suptitle, *(legend.get_title() for legend in figure.legends)]
    titles += [axes.title for axes in figure.axes if len(figure.axes) == 1]
    head = next((title for title in titles if title and title.get_text()), None)
    if head is None:
        figure.suptitle(note)
    else:
        head.set_text(f"{head.get_text()}\n{note}")


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
    """Draw and save one figure, or with "all" every figure that can be drawn from the rows.

    Args:
        name: name of a figure, or "all".
        results: the rows; may be empty for a figure that needs no rows.
        out: folder of the files.
        formats: "png", "pdf", and "svg"; "csv" writes the numbers that a figure shows.
        width: inches; None means one printed column (3.3) for a single panel, and two (6.9) for several.
        font_size: size of labels in points; None means 7.5.
        methods: labels to draw; None draws all.
        axis: the budget on the x axis of `convergence`: "steps", "seconds", "examples", or
            "forward-equivalents"; None selects the budget of the suite.

    Returns:
        The paths of the files.

    Raises:
        UserError: if a figure, format, method, or axis is unknown; if a size is not positive; if the figure
            does not take an axis; or if the figure cannot be drawn from the rows.
    """
    for kind in formats:
        if kind not in FORMATS:
            raise unknown("figure format", kind, FORMATS)
    if axis is not None and name not in ("all", "convergence"):
        raise UserError(f"{name} does not take an axis; only convergence does")
    page = Page(width, FONT_SIZE if font_size is None else font_size)
    if methods:
        results = results.only(methods)
    # "all" excludes figures that need no rows.
    names = [figure for figure in figures() if rows_of(figure)] if name == "all" else [name]
    drawn = draw(names, results, page, axis)
    if not drawn and name != "all":
        raise UserError(
            f"{name} cannot be drawn from these rows; run `{command_for(name)}` to produce its rows"
        )
    return save(drawn, out, formats, page, results, axis)


def save(
    drawn: dict[str, dict[str, Figure]],
    out: Path,
    formats: Sequence[str] = ("png",),
    page: Page = PAGE,
    results: Results | None = None,
    axis: str | None = None,
) -> list[Path]:
    """Save figures, and return the paths of the files. The same rows give the same bytes.

    Args:
        drawn: figures by name and file stem, as `draw` returns them.
        out: folder of the files.
        formats: see `render`.
        page: the page that the figures were drawn for.
        results: the rows that the figures were drawn from; needed for "csv".
        axis: the axis that `convergence` was drawn with; needed for "csv".
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
    """Return the numbers that a figure shows, by file stem; empty if the figure shows its rows unchanged."""
    module = module_of(name)
    options = _options(name, axis, known_rows)
    return module.numbers(results, **options) if hasattr(module, "numbers") else {}


def _options(name: str, axis: str | None, rows_of: RowsOf) -> dict[str, Any]:
    """Return the arguments of a figure beyond the results and the page."""
    options: dict[str, Any] = {"axis": axis} if name == "convergence" else {}
    costs = costs_of(name)
    return options | ({} if costs is None else {"costs": rows_of(costs)})


def costs_of(figure: str) -> str | None:
    """Return the suite that a figure takes the cost of steps from, besides the rows that it shows."""
    return getattr(module_of(figure), "COSTS", None)
