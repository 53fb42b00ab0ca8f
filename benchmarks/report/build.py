"""A suite's report, built from its rows: tables (Markdown, CSV, LaTeX), figures, and an HTML page."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from tabulate import tabulate

from benchmarks.errors import UserError
from benchmarks.report import by_length, page, paper_tables, stats_tables
from benchmarks.report.analysis import Analysis, analyze
from benchmarks.report.suite_rows import collect, missing_line
from benchmarks.report.tables import comment, head_of, latex, markdown, pipe
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
    """Write a suite's tables, figures, and page, and print its summary and the paths of the outputs.

    Two kinds of rows are excluded: rows whose settings are no longer part of the suite, and rows that are not
    comparable with the others (`benchmarks.results.comparable`).

    Args:
        suite: name of the suite. Its rows are read from `results/runs/`, or from `results/reference/` if
            there are no local runs.
        commit_reference: also write the rows to `results/reference/<suite>.jsonl`.
        root: the folder that contains `results/` and `plots/`.
        extra: a user's file of published numbers, in addition to `results/published.csv`.
        rows_from: read the rows from these folders instead, such as shards that share no disk.

    Raises:
        UserError: `extra` is invalid, or the suite does not reproduce a paper; there are no rows, or none of
            them match the suite's current settings; there are no local runs for `commit_reference`; the rows
            belong to a study; or two shards have different rows of one run.
    """
    if extra is not None and paper_tables.paper_of(suite) is None:
        raise UserError(
            f"--published {extra}: suite {suite!r} does not reproduce a paper's table; omit --published"
        )
    # Check the user's file of published numbers before any other work.
    numbers = published.load(extra)
    found = collect(suite, root, rows_from)
    results = Results.of(found.rows, found.source)
    if commit_reference:
        if found.source.startswith("results/reference"):
            raise UserError(
                f"--commit-reference: no local runs of {suite!r}; run `python -m benchmarks sweep {suite}`"
            )
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

    `score`, `memory`, and `time` have a block per model, a line per method, and a column per task; so do
    `score-long` and `score-short`, which exist if runs have a length threshold. Their entries are the mean
    and, with at least two seeds, the sample standard deviation over seeds. `methods` has all measures;
    `intervals`, `pairs`, and `ranks` have the statistics; `trials` describes tuning; `costs`
    compares the cost of Addax with that of other methods. A suite that reproduces a paper's table also has
    `published`, which compares the paper's numbers with ours, and `stated`, which lists its settings.
    `excluded.md` lists the excluded rows. CSV files have one line per entry, in the units of the rows
    (scores in 0..1, bytes, seconds).

    Args:
        suite: name of the suite, and of the folder.
        results: the rows, including failed runs.
        root: the folder that contains `results/`.
        numbers: the published numbers from `benchmarks.results.published.load`; None loads them if needed.

    Returns:
        The files written. Outdated files of an earlier report are removed.

    Raises:
        UserError: there are no rows.
    """
    return _write_tables(analyze(suite, results, numbers), root)


def _write_tables(analysis: Analysis, root: Path) -> list[Path]:
    every, texts = analysis.results.means, {}
    bold = stats_tables.bold_note(analysis.tests, every)
    under = analysis.results.directions
    for name, column in by_length.measures(every).items():
        means = by_length.shown(every, name)
        entries = means[[*CELL, "outcome", "n", "failed", column, f"{column}_std"]]
        if name == "memory":
            entries = entries.assign(predicted_peak_bytes=analysis.predicted)
        if name in by_length.TABLES:
            entries = entries.assign(long_above_tokens=means["long_above_tokens"])
        head = head_of(name, means)
        above = bold if name == "score" else by_length.note(means) if name in by_length.TABLES else ""
        below = f"{above} {analysis.note}".strip()
        texts[f"{name}.md"] = _markdown(head, under, markdown(means, column, analysis.winners), below)
        texts[f"{name}.csv"] = entries.to_csv(index=False, lineterminator="\n")
        texts[f"{name}.tex"] = _latex(head, under, latex(means, column, analysis.winners), below)
    for name, table in analysis.tables.items():
        cells = tabulate(table.table, "keys", "latex_booktabs", showindex=False, disable_numparse=True)
        texts[f"{name}.md"] = _markdown(table.head, under, pipe(table.table), table.note)
        texts[f"{name}.csv"] = table.data.to_csv(index=False, lineterminator="\n")
        texts[f"{name}.tex"] = _latex(table.head, under, cells, table.note)
    if analysis.results.excluded:
        texts["excluded.md"] = stats_tables.excluded_page(analysis.results.excluded)
    return _replace(root / "results" / "tables" / analysis.suite, texts)


def _markdown(head: str, under: str, table: str, note: str) -> str:
    """Return a table in Markdown between its heading, a line under the heading if any, and a note."""
    return "\n\n".join([f"## {head}", *filter(None, [under]), table, note]) + "\n"


def _latex(head: str, under: str, table: str, note: str) -> str:
    """Return a table in LaTeX between comments with its heading, a line under the heading, and a note."""
    above = comment(f"{head}; needs the package booktabs") + (comment(under) if under else "")
    return f"{above}{table}\n{comment(note)}"


def _replace(folder: Path, texts: Mapping[str, str]) -> list[Path]:
    """Write a folder's files, and remove optional tables of an earlier report that no longer apply."""
    folder.mkdir(parents=True, exist_ok=True)
    stems = ("published", "stated", "costs", *by_length.TABLES)
    for name in (*(f"{stem}.{kind}" for stem in stems for kind in ("md", "csv", "tex")), "excluded.md"):
        if name not in texts:
            (folder / name).unlink(missing_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in texts]
