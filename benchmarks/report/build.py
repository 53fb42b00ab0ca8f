"""Build a suite's report from its rows: tables as Markdown, CSV, and LaTeX; figures; and an HTML page."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from tabulate import tabulate

from benchmarks.errors import UserError
from benchmarks.report import page, paper_tables, stats_tables
from benchmarks.report.analysis import Analysis, analyze
from benchmarks.report.suite_rows import collect, missing_line
from benchmarks.report.tables import MEASURES, comment, head_of, latex, markdown, pipe
from benchmarks.report.terminal import print_summary
from benchmarks.results import comparable, published
from benchmarks.results.frame import Results
from benchmarks.results.row import write_lines
from benchmarks.results.select import CELL
from benchmarks.results.sources import ROOT
from plots import render


def write_report(
    suite: str,
    commit_reference: bool = False,
    root: Path = ROOT,
    extra: Path | None = None,
    rows_from: Sequence[Path] | None = None,
) -> None:
    """Write a suite's tables, figures, and page, and print its summary and where to look.

    Rows of settings that the suite no longer has are left out, as are those that cannot be compared with the
    others (`benchmarks.results.comparable`).

    Args:
        suite: whose rows, from `results/runs/` or else `results/reference/`.
        commit_reference: also write the rows to `results/reference/<suite>.jsonl`.
        root: the folder that holds `results/` and `plots/`.
        extra: a user's own file of printed numbers, beside `results/published.csv`.
        rows_from: folders with the rows of shards that share no disk, instead of this machine's.

    Raises:
        UserError: `extra` is wrong or the suite has no paper; there are no rows, or none of the suite's
            present settings, or no runs of this machine to make the reference of; the rows are of a study;
            or shards hold different rows of one run.
    """
    if extra is not None and paper_tables.paper_of(suite) is None:
        raise UserError(f"--published {extra}: suite {suite!r} repeats no paper's table (it binds no PAPER)")
    # Before any work: a wrong file of printed numbers ends here.
    numbers = published.load(extra)
    found = collect(suite, root, rows_from)
    results = Results.of(found.rows, found.source)
    if commit_reference:
        if found.source.startswith("results/reference"):
            raise UserError(f"no runs of {suite!r} on this machine: run `python -m benchmarks sweep {suite}`")
        reference = root / "results" / "reference"
        reference.mkdir(parents=True, exist_ok=True)
        committed = sorted(results.comparable, key=lambda row: row["id"])
        write_lines(reference / f"{suite}.jsonl", committed)
    analysis = analyze(suite, results, numbers)
    drawn = render.draw(render.defaults(suite), results)
    tables = _write_tables(analysis, root)
    figures = render.save(drawn, root / "plots" / "figures" / suite)
    html = page.write(analysis, drawn, root, found)
    print_summary(analysis)
    print(f"{len(results.comparable)} rows from {found.source}")
    if found.outdated:
        rows = "1 row" if found.outdated == 1 else f"{found.outdated} rows"
        print(f"Skipped {rows} whose settings are no longer part of this suite.")
    for line in comparable.lines(results.excluded):
        print(f"{line} See excluded.md.")
    if found.missing:
        print(missing_line(found.missing))
    for files in filter(None, (tables, figures)):
        stems = sorted({file.stem for file in files})
        print(f"{files[0].parent.relative_to(root)}/: {', '.join(stems)}")
    print(f"open {html.relative_to(root)}")


def write_tables(
    suite: str, results: Results, root: Path = ROOT, numbers: pd.DataFrame | None = None
) -> list[Path]:
    """Write a suite's tables to `results/tables/<suite>/`, each as `.md`, `.csv`, and `.tex`.

    `score`, `memory`, and `time`: a line is a method, a column a task, a block a model; an entry is the mean
    and, from two seeds on, the sample standard deviation over seeds. `methods` holds all measures,
    `intervals`, `pairs`, and `ranks` what tests support, `trials` what tuning took, `costs` what Addax takes
    beside others, `published` a paper's numbers beside the measured ones where the suite repeats a table, and
    `excluded.md` the rows that are in no table. CSV files are long: one line an entry, in the row's own units
    (scores in 0..1, bytes, seconds).

    Args:
        suite: names the folder.
        results: the rows, failed ones among them.
        root: the folder that holds `results/`.
        numbers: `benchmarks.results.published.load`'s; None loads those of the suite.

    Returns:
        The files written. Files of an earlier report that are out of date are removed.

    Raises:
        UserError: there are no rows.
    """
    return _write_tables(analyze(suite, results, numbers), root)


def _write_tables(analysis: Analysis, root: Path) -> list[Path]:
    means, texts, bold = analysis.results.means, {}, stats_tables.bold_note(analysis.tests)
    for name, (column, _) in MEASURES.items():
        entries = means[[*CELL, "outcome", "n", "failed", column, f"{column}_std"]]
        if name == "memory":
            entries = entries.assign(predicted_peak_bytes=analysis.predicted)
        head = head_of(name, means)
        below = f"{bold} {analysis.note}".strip() if column == "score" else analysis.note
        texts[f"{name}.md"] = f"## {head}\n\n{markdown(means, column, analysis.winners)}\n\n{below}\n"
        texts[f"{name}.csv"] = entries.to_csv(index=False, lineterminator="\n")
        texts[f"{name}.tex"] = latex(means, column, head, below, analysis.winners)
    for name, table in analysis.tables.items():
        cells = tabulate(table.table, "keys", "latex_booktabs", showindex=False, disable_numparse=True)
        texts[f"{name}.md"] = f"## {table.head}\n\n{pipe(table.table)}\n\n{table.note}\n"
        texts[f"{name}.csv"] = table.data.to_csv(index=False, lineterminator="\n")
        texts[f"{name}.tex"] = f"% {table.head}\n{cells}\n{comment(table.note)}"
    if analysis.results.excluded:
        texts["excluded.md"] = stats_tables.excluded_page(analysis.results.excluded)
    return _replace(root / "results" / "tables" / analysis.suite, texts)


def _replace(folder: Path, texts: Mapping[str, str]) -> list[Path]:
    """Write files of a folder, and remove those of tables that only an earlier report had."""
    folder.mkdir(parents=True, exist_ok=True)
    stems = ("published", "stated", "costs")
    for name in (*(f"{stem}.{kind}" for stem in stems for kind in ("md", "csv", "tex")), "excluded.md"):
        if name not in texts:
            (folder / name).unlink(missing_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in texts]
