"""Tables of what tests support, of trials, and of excluded rows."""

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd
from tabulate import tabulate

from benchmarks.report.tables import NONE
from benchmarks.results import stats
from benchmarks.results.frame import Results
from benchmarks.results.ranks import ranks
from benchmarks.results.stats import MIN_PAIRS
from benchmarks.results.tuning import trials_table

RULE = (
    "paired sign-flip permutation tests over runs of equal seeds, corrected after Holm over all pairs of "
    "methods of a column"
)


class ReportTable(NamedTuple):
    """A table: its heading, its entries as text, the same as numbers for CSV, and a note."""

    head: str
    table: pd.DataFrame
    data: pd.DataFrame
    note: str


def bold_note(tests: pd.DataFrame) -> str:
    """What is bold in a table of scores, or why nothing is; empty where no two methods are compared.

    Args:
        tests: `benchmarks.results.stats.pairs`'s.
    """
    if not len(tests):
        return ""
    of_tasks = tests[tests["task"] != stats.ALL]["n"]
    low, high = of_tasks.min(), of_tasks.max()
    n = f"n = {low}" if low == high else f"n = {low} to {high}"
    if stats.winners(tests):
        return f"Bold: better than every other trained method at 5 % ({RULE}; {n} a task)."
    few = f"; with fewer than {MIN_PAIRS} no such test can reach 5 %" if high < MIN_PAIRS else ""
    return f"No method is bold: none is separated from all others at 5 % ({RULE}; {n} a task{few})."


def build_tables(
    results: Results, tests: pd.DataFrame, tuned: Results | None = None
) -> dict[str, ReportTable]:
    """Return the tables of a suite by the stem of their files.

    Args:
        results: the suite's rows.
        tests: `benchmarks.results.stats.pairs` of them.
        tuned: the rows among which settings were chosen, where those are another suite's.
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
    told = {
        "seed": "only the method's seed varies",
        "data_seed": "only the data's seed varies",
        "together": "the seeds of method and data vary together, and their parts cannot be told apart",
        "nothing": "one run, whose spread is not known",
    }
    found = [told[kind] for kind in dict.fromkeys(means["varies"]) if kind in told]
    note = (
        "Interval: bootstrap (BCa) of the mean over runs, or over data seeds where each has several runs; "
        "none below three. Last columns: standard deviation in points over seeds of one kind at equal seeds "
        "of the other" + "".join(f"; {text}" for text in found) + "."
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
        "separated": ["yes" if yes else "no" for yes in tests["separated"]],
    }
    short = (tests["n"] < MIN_PAIRS).sum()
    note = f"{RULE[0].upper()}{RULE[1:]}; n counts pairs of runs with the same seeds."
    if short:
        note += (
            f" In {short} of {len(tests)} lines n is below {MIN_PAIRS}: no test can separate methods there, "
            "as p is at least 2 / 2^n."
        )
    return ReportTable("Paired tests between methods", pd.DataFrame(table), tests, note)


def _ranks(selected: pd.DataFrame) -> ReportTable:
    lines, said = [], []
    for model, found in ranks(selected).items():
        ends = {"tasks": len(found.tasks), "friedman_p": found.friedman_p}
        order = found.mean.sort_values(kind="stable")
        lines += [{"model": model, "method": label, "rank": rank, **ends} for label, rank in order.items()]
        if found.unranked:
            said.append(f"{model}: {', '.join(found.unranked)} lack tasks and are not ranked")
        if pd.notna(found.critical_difference):
            said.append(
                f"{model}: Friedman p = {found.friedman_p:.2g}, critical difference "
                f"{found.critical_difference:.2f} (Nemenyi)"
            )
        else:
            said.append(f"{model}: too few methods or tasks for a test of ranks")
    numbers = pd.DataFrame(lines, columns=["model", "method", "rank", "tasks", "friedman_p"])
    table = numbers[["model", "method"]].assign(
        **{"average rank": column(numbers["rank"], ".2f"), "tasks": numbers["tasks"].astype(str)}
    )
    note = "1 is best; ties share a rank; out of memory is the worst. " + "; ".join(said) + "."
    return ReportTable("Average ranks over tasks", table, numbers, note)


def _trials(found: pd.DataFrame) -> ReportTable:
    table = {
        "model": found["model"],
        "task": found["title"],
        "method": found["label"],
        "trials": found["trials"].astype(str),
        "tried": found["varied"],
        "chosen": found["chosen"],
        "at the grid's edge": found["at_edge"],
        "training of all trials (s)": column(found["seconds"], ".0f"),
    }
    note = "Chosen by the best mean score on validation rows."
    unequal = dict.fromkeys(
        f"{line.title}, {line.model} ({line.note.removeprefix('unequal trials: ')})"
        for line in found.itertuples()
        if line.note
    )
    if unequal:
        note += f" Methods had unequal numbers of trials on {'; '.join(unequal)}."
    edge = [f"{line.label} on {line.title}, {line.model}" for line in found.itertuples() if line.at_edge]
    if edge:
        note += f" At the edge of its grid, beyond which a better value may lie: {'; '.join(edge)}."
    return ReportTable("Trials and what was chosen", pd.DataFrame(table), found, note)


def excluded_page(excluded: Sequence[dict]) -> str:
    """Return a Markdown page of the rows that are in no table."""
    lines = [
        {
            "model": e["model"], "task": e["task"], "method": e["label"], "rows": e["rows"],
            "differ in": e["what"], "theirs": e["kind"], "in the tables": e["reference"],
        }
        for e in excluded
    ]  # fmt: skip
    text = tabulate(lines, headers="keys", tablefmt="pipe", disable_numparse=True)
    return (
        f"## Excluded rows\n\n{text}\n\nThese rows are in no table and no figure: scores of several prompts, "
        "metrics, ways of scoring, data, or budgets have no common mean. Rows of the newest prompt stay; "
        "of everything else, the most frequent kind stays.\n"
    )
