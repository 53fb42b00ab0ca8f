"""Tables from result rows: score, peak memory, time, and one long table, as Markdown, CSV and LaTeX."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table
from tabulate import tabulate

from benchmarks._tables import NONE, block_of, comment, latex, long_table, markdown, unit_of
from benchmarks.errors import UserError, unknown
from plots.__main__ import render
from plots._rows import ROOT, frame, ordered, raw, summary

# file stem -> column of the summary and the table's heading
MEASURES = {
    "score": ("score", "Accuracy or F1 on the test rows ({})"),
    "memory": ("peak_bytes", "Peak memory in training ({})"),
    "time": ("seconds", "Training time to the chosen checkpoint ({})"),
}


def write_all(suite: str, commit_reference: bool = False, root: Path = ROOT) -> None:
    """Rebuilds a suite's tables and figures, and prints its summary and where to look.

    Args:
        suite: whose rows, from `results/runs/` or else `results/reference/`.
        commit_reference: also writes this machine's rows to `results/reference/<suite>.jsonl`.
        root: the folder that holds `results/` and `plots/`.

    Raises:
        UserError: there are no rows, or no runs of this machine to make the reference of.
    """
    rows, source = raw(suite, root)
    if commit_reference:
        if not source.startswith("results/runs"):
            raise UserError(f"no runs of {suite!r} on this machine: run `python -m benchmarks sweep {suite}`")
        # Not above: the store knows RunSpec and so imports torch, which tables do without.
        from benchmarks import store

        store.commit_reference(suite, sorted(rows, key=lambda row: row["id"]))
    tables = write_tables(suite, rows, root)
    figures = render("all", frame(rows), root / "plots" / "figures" / suite)
    print_summary(rows)
    print(f"{len(rows)} rows from {source}")
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


def provenance(rows: Sequence[dict]) -> str:
    """One line on where the numbers come from: runs, commit, versions, hardware, dates, data."""
    done = sum(row.get("status") == "done" for row in rows)
    configs = [row["config"] for row in rows]
    data = ["local folder" if c.get("data") not in ("builtin", "hub") else c["data"] for c in configs]
    commits = [
        str(r.get("git_commit") or "unknown")[:7] + ("+changes" if r.get("git_dirty") else "") for r in rows
    ]
    versions = [f"{k} {v}" for row in rows for k, v in (row.get("versions") or {}).items() if v]
    days = sorted(str(row[key])[:10] for row in rows for key in ("started", "ended") if row.get(key))
    facts = {
        "runs": f"{done} of {len(rows)} done",
        "seeds": _distinct(c.get("seed") for c in configs),
        "data": _distinct(data),
        "dtype": _distinct(c.get("dtype") for c in configs),
        "commit": _distinct(commits),
        "versions": _distinct(versions),
        "hardware": _distinct(row.get("hardware") for row in rows),
        "threads a run": _distinct(row.get("threads") for row in rows),
        "runs at once": _distinct(row.get("jobs") for row in rows),
        "memory measured as": _distinct(row.get("peak_how") for row in rows),
        "dates": NONE if not days else days[0] if days[0] == days[-1] else f"{days[0]} to {days[-1]}",
    }
    return "; ".join(f"{name}: {fact}" for name, fact in facts.items() if fact and fact != NONE) + "."


def _means(rows: Sequence[dict], suite: str | None = None) -> pd.DataFrame:
    if not rows:
        name = suite or "quick"
        raise UserError(f"no result rows to tabulate: run `python -m benchmarks sweep {name}` first")
    return summary(frame(list(rows)))


def _pipe(table: pd.DataFrame) -> str:
    return tabulate(table, headers="keys", tablefmt="pipe", showindex=False, disable_numparse=True)


def _distinct(values: Iterable) -> str:
    return ", ".join(dict.fromkeys(str(value) for value in values if value is not None)) or NONE
