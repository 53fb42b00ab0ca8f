"""Tables from result rows: score, peak memory, time, and one long table, as Markdown, CSV and LaTeX."""

import dataclasses
import json
import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table
from tabulate import tabulate

from benchmarks import _speed_tables, registry, suites
from benchmarks._tables import (
    NONE,
    block_of,
    comment,
    latex,
    long_table,
    markdown,
    provenance,
    unit_of,
)
from benchmarks._tables16 import arithmetic_table, dtype_table
from benchmarks.errors import UserError, unknown
from plots.__main__ import render
from plots._rows import ROOT, frame, of_newest_prompts, ordered, raw, summary

# file stem -> column of the summary and the table's heading
MEASURES = {
    "score": ("score", "Accuracy or F1 on the test rows ({})"),
    "memory": ("peak_bytes", "Peak memory in training ({})"),
    "time": ("seconds", "Training time to the chosen checkpoint ({})"),
}


def write_all(suite: str, commit_reference: bool = False, root: Path = ROOT) -> None:
    """Rebuilds a suite's tables and figures, and prints its summary and where to look.

    Rows of other settings than the suite has now are left out, and of earlier versions of a prompt.

    Args:
        suite: whose rows, from `results/runs/` or else `results/reference/`.
        commit_reference: also writes this machine's rows to `results/reference/<suite>.jsonl`, and the
            tables of the README anew.
        root: the folder that holds `results/`, `plots/` and the README.

    Raises:
        UserError: there are no rows, or none of the suite's present settings, or no runs of this machine
            to make the reference of; or the rows are of a benchmark and not of runs.
    """
    found, source = raw(suite, root)
    if any("config" not in row for row in found):
        raise UserError(
            f"{source} holds no runs: `python -m plots {suite}` draws it, or its table is in the README"
        )
    present = _of_present_specs(suite, found)
    rows = of_newest_prompts(present)
    if not rows:
        raise UserError(
            f"the {len(found)} rows in {source} are of other settings than suite {suite!r} has now: "
            f"run `python -m benchmarks sweep {suite}`"
        )
    if commit_reference:
        if not source.startswith("results/runs"):
            raise UserError(f"no runs of {suite!r} on this machine: run `python -m benchmarks sweep {suite}`")
        # Not above: the store knows RunSpec and so imports torch, which tables do without.
        from benchmarks import store

        store.commit_reference(suite, sorted(rows, key=lambda row: row["id"]))
        refresh(root / "README.md", root)
    tables = write_tables(suite, rows, root)
    figures = render("all", frame(rows), root / "plots" / "figures" / suite)
    print_summary(rows)
    print(f"{len(rows)} rows from {source}")
    for count, why in (
        (len(found) - len(present), "settings that the suite no longer has"),
        (len(present) - len(rows), "earlier versions of their task's prompt"),
    ):
        if count:
            print(f"{count} more there are of {why}: left out")
    for files in (tables, figures):
        if files:
            print(f"{files[0].parent.relative_to(root)}/: {', '.join(sorted({file.stem for file in files}))}")


def write_tables(suite: str, rows: Sequence[dict], root: Path = ROOT) -> list[Path]:
    """Writes `results/tables/<suite>/{score,memory,time,methods}.{md,csv,tex}`.

    In the first three a line is a method, a column a task, a block a model; an entry is the mean and, from
    two seeds on, the sample standard deviation over seeds. CSV files are long: one line an entry, in the
    row's own units (scores in 0..1, bytes, seconds).

    Args:
        suite: names the folder.
        rows: result rows, failed ones among them.
        root: the folder that holds `results/`.

    Returns:
        The files written.

    Raises:
        UserError: there are no rows.
    """
    means, note = _means(rows, suite), provenance(rows)
    folder = root / "results" / "tables" / suite
    folder.mkdir(parents=True, exist_ok=True)
    texts = {}
    for name, (column, title) in MEASURES.items():
        entries = means[["model", "task", "label", "outcome", "n", "failed", column, f"{column}_std"]]
        head = title.format(unit_of(column, means)[1])
        texts[f"{name}.md"] = f"## {head}\n\n{markdown(means, column)}\n\n{note}\n"
        texts[f"{name}.csv"] = entries.to_csv(index=False, lineterminator="\n")
        texts[f"{name}.tex"] = latex(means, column, head, note)
    long = long_table(means)
    texts["methods.md"] = f"## All measures\n\n{_pipe(long)}\n\n{note}\n"
    texts["methods.csv"] = means.drop(columns="title").to_csv(index=False, lineterminator="\n")
    cells = tabulate(long, headers="keys", tablefmt="latex_booktabs", showindex=False, disable_numparse=True)
    texts["methods.tex"] = f"% All measures\n{cells}\n{comment(note)}"
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in texts]


def method_table(rows: Sequence[dict]) -> str:
    """Markdown, a line for each method (and model, task where they differ): score, AUC, loss, lr, cost."""
    return _pipe(long_table(_means(rows)))


def score_table(rows: Sequence[dict]) -> str:
    """Markdown, the score of every method on every task, a block for each model."""
    return markdown(_means(rows), "score")


def print_summary(rows: Sequence[dict], console: Console | None = None) -> None:
    """Prints scores (%), mean peak memory and total training time, a table for each model."""
    means = _means(rows)
    console = console or Console()
    memory, unit, _ = unit_of("peak_bytes", means)
    for model in ordered(means, "model"):
        block = means[means["model"] == model]
        cells = block_of(block, "score")
        table = Table(title=f"{model}: score (%)", box=box.SIMPLE_HEAD, padding=(0, 0), pad_edge=False)
        for heading in [*cells.columns, unit, "s"]:
            left = heading == "method"
            table.add_column(heading, justify="left" if left else "right", no_wrap=True)
        for label, line in zip(ordered(block, "label"), cells.itertuples(index=False), strict=True):
            cost = block[block["label"] == label]
            peak, seconds = cost["peak_bytes"].mean() / memory, cost["seconds"].sum()
            ends = [
                NONE if pd.isna(peak) else f"{peak:.1f}",
                NONE if label == "zero-shot" else f"{seconds:.0f}",
            ]
            table.add_row(*line, *ends)
        # A table that is cut or wrapped is worse than one that runs past the edge of a narrow terminal.
        console.print(
            table, width=max(console.width, table.__rich_measure__(console, console.options).maximum)
        )
    failed = means.loc[means["outcome"] != "done"]
    for line in failed.itertuples():
        console.print(f"{line.outcome}: {line.label} on {line.title}, {line.model}", markup=False)


def splice(readme: Path, name: str, markdown: str) -> None:
    """Replaces what stands between `<!-- table:NAME -->` and `<!-- /table:NAME -->` in a page.

    Raises:
        UserError: the page has no such pair of marks.
    """
    page = readme.read_text(encoding="utf-8")
    known = re.findall(r"<!-- table:(\S+) -->", page)
    if name not in known:
        raise unknown(f"table mark in {readme.name}", name, known)
    opening, closing = f"<!-- table:{name} -->", f"<!-- /table:{name} -->"
    before, rest = page.split(opening, 1)
    if closing not in rest:
        raise UserError(f"{readme.name}: {opening} is never closed; add {closing} below it")
    after = rest.split(closing, 1)[1]
    readme.write_text(f"{before}{opening}\n{markdown.strip()}\n{closing}{after}", encoding="utf-8")


def refresh(readme: Path, root: Path = ROOT) -> None:
    """Rebuilds every table of a page from the committed rows alone.

    A table stands between `<!-- table:SUITE:KIND -->` and `<!-- /table:SUITE:KIND -->`, where KIND is one
    of `KINDS`; below it a line says where its numbers come from. Where no rows are committed yet, a line
    says which commands make them.

    Args:
        readme: the page, rewritten in place.
        root: the folder that holds `results/reference/<SUITE>.jsonl`.

    Raises:
        UserError: a mark of an unknown kind or one that is never closed, or a file that holds no rows.
    """
    for name in re.findall(r"<!-- table:(\S+) -->", readme.read_text(encoding="utf-8")):
        suite, _, kind = name.rpartition(":")
        if kind not in KINDS:
            raise unknown(f"kind of table {name!r} in {readme.name}", kind, KINDS)
        rows = _committed(suite, root)
        if rows:
            text = f"{KINDS[kind](rows)}\n\n{provenance(rows)}"
        elif kind == "arithmetic":
            text = "No rows yet: `python -m benchmarks.arithmetic --save` makes them."
        elif kind == "speed":
            text = (
                f"No rows yet: `python -m benchmarks.speed {suite.removeprefix('speed-')} --save` makes them."
            )
        else:
            text = (
                f"No rows yet: `python -m benchmarks sweep {suite}`, then "
                f"`python -m benchmarks report {suite} --commit-reference` make them."
            )
        splice(readme, name, text)


# What a table in a page is made of: kind -> rows -> Markdown.
KINDS = {
    "score": score_table,
    "methods": method_table,
    "dtypes": dtype_table,
    "speed": _speed_tables.table,
    "arithmetic": arithmetic_table,
}


def _committed(suite: str, root: Path) -> list[dict]:
    file = root / "results" / "reference" / f"{suite}.jsonl"
    if not file.exists():
        return []
    try:
        return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except ValueError as error:
        raise UserError(f"{file}: not JSON lines ({error}); commit its rows anew") from None


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


def _means(rows: Sequence[dict], suite: str | None = None) -> pd.DataFrame:
    if not rows:
        name = suite or "quick"
        raise UserError(f"no result rows to tabulate: run `python -m benchmarks sweep {name}` first")
    return summary(frame(list(rows)))


def _pipe(table: pd.DataFrame) -> str:
    return tabulate(table, headers="keys", tablefmt="pipe", showindex=False, disable_numparse=True)
