"""Tables from result rows: score, peak memory, time, and one long table, as Markdown, CSV and LaTeX."""

import dataclasses
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

import pandas as pd
from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from tabulate import tabulate

from benchmarks import docs as readme
from benchmarks import registry, suites
from benchmarks.config import labels
from benchmarks.errors import UserError
from benchmarks.report import cache as _made
from benchmarks.report import page as html
from benchmarks.report import paper_tables as _paper_tables
from benchmarks.report import stats_tables as _statistics_tables
from benchmarks.report.analysis import Analysis, analyse
from benchmarks.report.tables import (
    MEASURES,
    NONE,
    block_of,
    comment,
    head_of,
    latex,
    markdown,
    pipe,
    unit_of,
)
from benchmarks.results import comparable as _apart
from benchmarks.results import published
from benchmarks.results.frame import ROOT, ordered, raw
from plots.__main__ import draw, save


def write_all(
    suite: str, commit_reference: bool = False, root: Path = ROOT, extra: Path | None = None
) -> None:
    """Rebuilds a suite's tables, figures and page, and prints its summary and where to look.

    Rows of other settings than the suite has now are left out, and those that cannot be compared with the
    others (`results.comparable`). Where neither the rows nor the code has changed and every file is as it was
    written, nothing is made again (`_made`).

    Args:
        suite: whose rows, from `results/runs/` or else `results/reference/`.
        commit_reference: also writes this machine's rows to `results/reference/<suite>.jsonl`, and the
            tables of the README anew.
        root: the folder that holds `results/`, `plots/` and the README.
        extra: a user's own file of printed numbers, beside `results/published.csv`.

    Raises:
        UserError: `extra` is wrong or the suite has no paper; there are no rows, or none of the suite's
            present settings, or no runs of this machine to make the reference of; or the rows are of a
            benchmark and not of runs.
    """
    if extra is not None and _paper_tables.paper_of(suite) is None:
        raise UserError(f"--published {extra}: suite {suite!r} repeats no paper's table (it binds no PAPER)")
    # Before any work: a wrong file of printed numbers ends here.
    numbers = published.load(extra)
    found, source = raw(suite, root)
    if any("config" not in row for row in found):
        raise UserError(
            f"{source} holds no runs: `python -m plots {suite}` draws it, or its table is in the README"
        )
    present = _of_present_specs(suite, found)
    rows, aside = _apart.split(present)
    if not rows:
        raise UserError(
            f"the {len(found)} rows in {source} are of other settings than suite {suite!r} has now: "
            f"run `python -m benchmarks sweep {suite}`"
        )
    if commit_reference:
        if not source.startswith("results/runs"):
            raise UserError(f"no runs of {suite!r} on this machine: run `python -m benchmarks sweep {suite}`")
        # Not above: the store knows RunSpec and so imports torch, which tables do without.
        from benchmarks.results import store

        store.commit_reference(suite, sorted(rows, key=lambda row: row["id"]))
        readme.refresh(root / "README.md", root)
    gone, missing = len(found) - len(present), _missing(suite, present)
    analysis = analyse(suite, present, numbers)
    origin = _made.origin(present, missing, gone, numbers.to_csv())
    note = root / "results" / "tables" / suite / ".made.json"
    files = _made.standing(note, origin, root)
    stands = files is not None
    if not stands:
        drawn = draw("all", analysis.data)
        files = [*_write_tables(analysis, root), *save(drawn, root / "plots" / "figures" / suite)]
        files.append(html.write(analysis, drawn, root, missing, gone))
        _made.write(note, origin, files, root)
    print_summary(analysis)
    print(f"{len(rows)} rows from {source}")
    if gone:
        print(f"{gone} more there are of settings that the suite no longer has: left out")
    for line in _apart.lines(aside):
        print(f"{line} (see apart.md)")
    if stands:
        print("nothing has changed since these were made:")
    for folder, of_folder in groupby(files[:-1], key=lambda file: file.parent):
        print(f"{folder.relative_to(root)}/: {', '.join(sorted({file.stem for file in of_folder}))}")
    print(f"open {files[-1].relative_to(root)}")


def write_tables(
    suite: str, rows: Sequence[dict], root: Path = ROOT, numbers: pd.DataFrame | None = None
) -> list[Path]:
    """Writes a suite's tables to `results/tables/<suite>/`, each as `.md`, `.csv` and `.tex`.

    `score`, `memory` and `time`: a line is a method, a column a task, a block a model; an entry is the mean
    and, from two seeds on, the sample standard deviation over seeds. `methods` holds all measures,
    `intervals`, `pairs` and `ranks` what tests support, `trials` what choosing a setting took, `published` a
    paper's numbers beside them where the suite repeats one, and `apart.md` the rows that are in none of
    them. CSV files are long: one line an entry, in the row's own units (scores in 0..1, bytes, seconds).

    Args:
        suite: names the folder.
        rows: result rows, failed ones among them.
        root: the folder that holds `results/`.
        numbers: `benchmarks.results.published.load`'s; None loads those of the suite.

    Returns:
        The files written; those of an earlier report that are out of date are removed.

    Raises:
        UserError: there are no rows.
    """
    return _write_tables(analyse(suite, rows, numbers), root)


def _write_tables(found: Analysis, root: Path) -> list[Path]:
    means, texts, bold = found.means, {}, _statistics_tables.bold_note(found.tests)
    for name, (column, _) in MEASURES.items():
        entries = means[["model", "task", "label", "outcome", "n", "failed", column, f"{column}_std"]]
        head = head_of(name, means)
        below = f"{bold} {found.note}".strip() if column == "score" else found.note
        texts[f"{name}.md"] = f"## {head}\n\n{markdown(means, column, found.winners)}\n\n{below}\n"
        texts[f"{name}.csv"] = entries.to_csv(index=False, lineterminator="\n")
        texts[f"{name}.tex"] = latex(means, column, head, below, found.winners)
    for name, table in found.made.items():
        cells = tabulate(table.table, "keys", "latex_booktabs", showindex=False, disable_numparse=True)
        texts[f"{name}.md"] = f"## {table.head}\n\n{pipe(table.table)}\n\n{table.note}\n"
        texts[f"{name}.csv"] = table.data.to_csv(index=False, lineterminator="\n")
        texts[f"{name}.tex"] = f"% {table.head}\n{cells}\n{comment(table.note)}"
    if found.aside:
        texts["apart.md"] = _statistics_tables.apart(found.aside)
    return _replace(root / "results" / "tables" / found.suite, texts)


def _replace(folder: Path, texts: Mapping[str, str]) -> list[Path]:
    """Writes files of a folder; a table that this report does not have is not left there from another."""
    folder.mkdir(parents=True, exist_ok=True)
    of_some = [f"{stem}.{kind}" for stem in ("published", "stated") for kind in ("md", "csv", "tex")]
    for name in (*of_some, "apart.md"):
        if name not in texts:
            (folder / name).unlink(missing_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in texts]


def print_summary(found: Analysis, console: Console | None = None) -> None:
    """Prints scores (%), mean peak memory and total training time, a table for each model."""
    means = found.means
    console = console or Console()
    memory, unit, digits = unit_of("peak_bytes", means)
    for model in ordered(means, "model"):
        block = means[means["model"] == model]
        cells = block_of(block, "score")
        table = Table(title=f"\n{model}: score (%)\n", box=box.SIMPLE_HEAD, show_edge=False, padding=0)
        for heading in [*cells.columns, unit, "s"]:
            left = heading == "method"
            table.add_column(heading, justify="left" if left else "right", no_wrap=True)
        for label, line in zip(ordered(block, "label"), cells.itertuples(index=False), strict=True):
            cost = block[block["label"] == label]
            peak, seconds = cost["peak_bytes"].mean() / memory, cost["seconds"].sum()
            ends = [
                NONE if pd.isna(peak) else f"{peak:.{digits}f}",
                NONE if label == "zero-shot" else f"{seconds:.0f}",
            ]
            table.add_row(*line, *ends)
        # A table that is cut or wrapped is worse than one that runs past the edge of a narrow terminal.
        table.width = Measurement.get(console, console.options.update_width(1000), table).maximum
        console.print(table, crop=False)
    console.print()
    failed = means.loc[means["outcome"] != "done"]
    for line in failed.itertuples():
        console.print(f"{line.outcome}: {line.label} on {line.title}, {line.model}", markup=False)
    if told := _statistics_tables.bold_note(found.tests):
        console.print(told, markup=False, highlight=False)


def _of_present_specs(suite: str, rows: Sequence[dict]) -> list[dict]:
    """The rows of specs that the suite has now, whatever their data and device; all if it is no suite."""
    if suite not in registry.files("suite"):
        return list(rows)
    # Not at the top, as for the store: specs need torch.
    specs = suites.load(suite)
    ids: dict[tuple, set[str]] = {}
    kept = []
    for row in rows:
        where = {key: str(row["config"].get(key)) for key in ("data", "device")}
        place = tuple(where.values())
        if place not in ids:
            try:
                ids[place] = {dataclasses.replace(spec, **where).id for spec in specs}
            except UserError:
                # No run has such data: it is a row of something else.
                ids[place] = set()
        if row.get("id") in ids[place]:
            kept.append(row)
    return kept


def _missing(suite: str, rows: Sequence[dict]) -> list[dict] | None:
    """The runs of a suite that no row is of, wherever its rows ran; None where it is no suite."""
    if suite not in registry.files("suite"):
        return None
    ids = {row.get("id") for row in rows}
    places = {tuple((key, str(row["config"].get(key))) for key in ("data", "device")) for row in rows}
    return [
        {"model": spec.model, "task": spec.task, "label": labels.label(spec), "seed": spec.seed}
        for spec in suites.load(suite)
        if not any(dataclasses.replace(spec, **dict(place)).id in ids for place in places)
    ]
