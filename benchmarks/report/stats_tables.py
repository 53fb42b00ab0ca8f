"""Tables of what tests support, of trials, and of rows set apart: as text, and why."""

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from benchmarks.report.tables import NONE
from benchmarks.results import stats as statistics
from benchmarks.results import trials
from benchmarks.results.ranks import ranks
from benchmarks.results.stats import FEWEST

RULE = (
    "paired sign-flip permutation tests over runs of equal seeds, corrected after Holm over all pairs of "
    "methods of a column"
)


class Made(NamedTuple):
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
    of_tasks = tests[tests["task"] != statistics.ALL]["n"]
    low, high = of_tasks.min(), of_tasks.max()
    n = f"n = {low}" if low == high else f"n = {low} to {high}"
    if statistics.winners(tests):
        return f"Bold: better than every other trained method at 5 % ({RULE}; {n} a task)."
    few = f"; with fewer than {FEWEST} no such test can reach 5 %" if high < FEWEST else ""
    return f"No method is bold: none is separated from all others at 5 % ({RULE}; {n} a task{few})."


def made(data: pd.DataFrame, tests: pd.DataFrame, tried: pd.DataFrame | None = None) -> dict[str, Made]:
    """The tables of a suite by the stem of their files.

    Args:
        data: `benchmarks.results.frame.frame`'s.
        tests: `benchmarks.results.stats.pairs`'s of them.
        tried: the runs among which settings were chosen, where those are others.
    """
    return {
        "intervals": _intervals(statistics.summary(data)),
        "pairs": _pairs(tests),
        "ranks": _ranks(data),
        "trials": _trials(trials.table(data if tried is None else tried)),
    }


def column(values: pd.Series, form: str, scale: float = 1) -> list[str]:
    return [NONE if pd.isna(value) else f"{scale * value:{form}}" for value in values]


def _intervals(means: pd.DataFrame) -> Made:
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
    return Made("Mean test scores with 95 % intervals", pd.DataFrame(table), means, note)


def _pairs(tests: pd.DataFrame) -> Made:
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
    short = (tests["n"] < FEWEST).sum()
    note = f"{RULE[0].upper()}{RULE[1:]}; n counts pairs of runs with the same seeds."
    if short:
        note += (
            f" In {short} of {len(tests)} lines n is below {FEWEST}: no test can separate methods there, as "
            "p is at least 2 / 2^n."
        )
    return Made("Paired tests between methods", pd.DataFrame(table), tests, note)


def _ranks(data: pd.DataFrame) -> Made:
    lines, said = [], []
    for model, found in ranks(data).items():
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
    return Made("Average ranks over tasks", table, numbers, note)


def _trials(found: pd.DataFrame) -> Made:
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
    return Made("Trials and what was chosen", pd.DataFrame(table), found, note)


def apart(aside: Sequence[dict]) -> str:
    """Markdown page of the rows that were set apart."""
    from tabulate import tabulate

    lines = [
        {
            "model": e["model"], "task": e["task"], "method": e["label"], "rows": e["rows"],
            "differ in": e["what"], "theirs": e["kind"], "in the tables": e["stands"],
        }
        for e in aside
    ]  # fmt: skip
    text = tabulate(lines, headers="keys", tablefmt="pipe", disable_numparse=True)
    return (
        f"## Rows set apart\n\n{text}\n\nThey are in no table or figure: scores of several prompts, metrics, "
        "ways of scoring, data or budgets have no mean, and are not compared. Of prompts the newest stands, "
        "of all else the most frequent.\n"
    )
