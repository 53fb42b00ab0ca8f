"""Tables of statistics, of tuning trials, and of excluded rows."""

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd
from tabulate import tabulate

from benchmarks.report.tables import NONE
from benchmarks.results import stats
from benchmarks.results.frame import Results
from benchmarks.results.ranks import ranks
from benchmarks.results.tuning import trials_table

RULE = (
    "paired sign-flip permutation tests over runs with equal seeds, Holm-corrected over all pairs of methods "
    "in a column"
)


class ReportTable(NamedTuple):
    """A table of a report.

    Attributes:
        head: the heading.
        table: the entries as text, for Markdown and LaTeX.
        data: the unformatted entries, for CSV.
        note: the note below the table.
    """

    head: str
    table: pd.DataFrame
    data: pd.DataFrame
    note: str


def bold_note(tests: pd.DataFrame) -> str:
    """Explain the bold entries of a table of scores; empty if no two methods are compared.

    Args:
        tests: the result of `benchmarks.results.stats.pairs`.
    """
    if not len(tests):
        return ""
    of_tasks = tests[tests["task"] != stats.ALL]["n"]
    n = _span(of_tasks)
    rule = f"{RULE}; {n} {'pair' if n == '1' else 'pairs'} of runs per task"
    if stats.winners(tests):
        return f"Bold: significantly better than every other trained method at the 5 % level ({rule})."
    few = ""
    if (tests["n"] < _needed(tests))[tests["task"] != stats.ALL].all():
        needed = _needed(tests)[tests["task"] != stats.ALL]
        few = f" With fewer than {_span(needed)} pairs, no such test can be significant."
    return (
        "Nothing is bold: no method is significantly better than all other trained methods at the 5 % level "
        f"({rule}).{few}"
    )


def _needed(tests: pd.DataFrame) -> pd.Series:
    """Return for each line the number of pairs of runs that its column needs for a significant difference."""
    return tests.groupby(["model", "task"])["n"].transform("size").map(stats.pairs_needed)


def _span(counts: pd.Series) -> str:
    """Return "3", or "3 to 6" if the counts differ."""
    low, high = counts.min(), counts.max()
    return f"{low}" if low == high else f"{low} to {high}"


def build_tables(
    results: Results, tests: pd.DataFrame, tuned: Results | None = None
) -> dict[str, ReportTable]:
    """Return a suite's tables of statistics and trials, by file stem.

    Args:
        results: the suite's results.
        tests: `benchmarks.results.stats.pairs` of the selected runs.
        tuned: the results of the tuning trials, if they belong to another suite.
    """
    return {
        "intervals": _intervals(stats.intervals(results.selected)),
        "pairs": _pairs(tests),
        "ranks": _ranks(results.selected),
        "trials": _trials(trials_table(tuned or results)),
    }


def column(values: pd.Series, form: str, scale: float = 1) -> list[str]:
    return [NONE if pd.isna(value) else f"{scale * value:{form}}" for value in values]


def _intervals(means: pd.DataFrame) -> ReportTable:
    low, high = (column(means[name], ".1f", 100) for name in ("ci_low", "ci_high"))
    table = {
        "model": means["model"],
        "task": means["title"],
        "method": means["label"],
        "mean (%)": column(means["mean"], ".1f", 100),
        "95 % interval": [NONE if a == NONE else f"{a} to {b}" for a, b in zip(low, high, strict=True)],
        "runs": means["n"].astype(str),
        "data seeds": means["data_seeds"].astype(str),
        "over method seeds": column(means["spread_seed"], ".2f", 100),
        "over data seeds": column(means["spread_data"], ".2f", 100),
    }
    sentences = {
        "seed": "Only the method seed varies.",
        "data_seed": "Only the data seed varies.",
        "together": "Method and data seeds vary together, so their effects cannot be separated.",
        "nothing": "The spread over a single run is unknown.",
    }
    found = [sentences[kind] for kind in dict.fromkeys(means["varies"]) if kind in sentences]
    note = " ".join(
        [
            "The interval is a BCa bootstrap of the mean over runs, or over data seeds if each has several "
            "runs; it needs at least three of them. The last two columns are standard deviations in points "
            "over seeds of one kind while the other seed is fixed.",
            *found,
        ]
    )
    return ReportTable("Mean test scores with 95 % intervals", pd.DataFrame(table), means, note)


def _pairs(tests: pd.DataFrame) -> ReportTable:
    table = {
        "model": tests["model"],
        "task": tests["title"],
        "a": tests["a"],
        "b": tests["b"],
        "n": tests["n"].astype(str),
        "a - b (points)": column(tests["difference"], "+.2f", 100),
        "p": column(tests["p"], ".4f"),
        "p, Holm": column(tests["p_holm"], ".4f"),
        "significant": ["yes" if separated else "no" for separated in tests["separated"]],
    }
    short = (tests["n"] < _needed(tests)).sum()
    note = f"The tests are {RULE}. n is the number of pairs of runs with equal seeds."
    if short:
        note += (
            f" In {short} of {len(tests)} lines, n is too small for a significant difference, because p is "
            "at least 2 / 2^n and Holm's correction multiplies the smallest p by the number of comparisons."
        )
    return ReportTable("Paired tests between methods", pd.DataFrame(table), tests, note)


def _ranks(selected: pd.DataFrame) -> ReportTable:
    lines, remarks = [], []
    for model, found in ranks(selected).items():
        ends = {"tasks": len(found.tasks), "friedman_p": found.friedman_p}
        order = found.mean.sort_values(kind="stable")
        lines += [{"model": model, "method": label, "rank": rank, **ends} for label, rank in order.items()]
        if found.unranked:
            remarks.append(f"{model}: not ranked because of missing tasks: {', '.join(found.unranked)}")
        if pd.notna(found.critical_difference):
            remarks.append(
                f"{model}: Friedman p = {found.friedman_p:.2g}, critical difference "
                f"{found.critical_difference:.2f} (Nemenyi)"
            )
        else:
            remarks.append(f"{model}: too few methods or tasks to test ranks")
    numbers = pd.DataFrame(lines, columns=["model", "method", "rank", "tasks", "friedman_p"])
    table = numbers[["model", "method"]].assign(
        **{"average rank": column(numbers["rank"], ".2f"), "tasks": numbers["tasks"].astype(str)}
    )
    note = (
        "Rank 1 is best. Ties share a rank, and out of memory is the worst rank. " + "; ".join(remarks) + "."
    )
    return ReportTable("Average ranks over tasks", table, numbers, note)


def _trials(found: pd.DataFrame) -> ReportTable:
    table = {
        "model": found["model"],
        "task": found["title"],
        "method": found["label"],
        "trials": found["trials"].astype(str),
        "tried": found["varied"],
        "chosen": found["chosen"],
        "at edge of grid": found["at_edge"],
        "training time of all trials (s)": column(found["seconds"], ".0f"),
    }
    note = "The setting with the best mean validation score was chosen."
    unequal = dict.fromkeys(
        f"{line.title}, {line.model} ({line.note.removeprefix('unequal trials: ')})"
        for line in found.itertuples()
        if line.note
    )
    if unequal:
        note += f" The methods had unequal numbers of trials on {'; '.join(unequal)}."
    edge = [f"{line.label} on {line.title}, {line.model}" for line in found.itertuples() if line.at_edge]
    if edge:
        note += (
            " The chosen value is at the edge of its grid, so a better one may lie beyond it: "
            f"{'; '.join(edge)}."
        )
    return ReportTable("Tuning trials and chosen settings", pd.DataFrame(table), found, note)


def excluded_page(excluded: Sequence[dict]) -> str:
    """Return a Markdown page that lists the excluded rows."""
    lines = [
        {
            "model": e["model"], "task": e["task"], "method": e["label"], "rows": e["rows"],
            "differ in": e["what"], "their value": e["kind"], "value in the tables": e["reference"],
        }
        for e in excluded
    ]  # fmt: skip
    text = tabulate(lines, headers="keys", tablefmt="pipe", disable_numparse=True)
    return (
        f"## Excluded rows\n\n{text}\n\nThese rows are excluded from all tables and figures, because scores "
        "with different prompts, metrics, scoring procedures, data, or budgets cannot be averaged. "
        "The tables use the newest version of a prompt, and otherwise the most frequent value.\n"
    )
