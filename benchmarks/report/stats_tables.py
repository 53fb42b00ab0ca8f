"""Tables of statistics, of tuning trials, and of excluded rows."""

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd
from tabulate import tabulate

from benchmarks.report.tables import NONE, Winners
from benchmarks.results import paired, stats
from benchmarks.results.frame import Results
from benchmarks.results.majority import LABEL
from benchmarks.results.order import score_unit, task_heading
from benchmarks.results.ranks import ranks
from benchmarks.results.tuning import trials_table


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


def bold_note(tests: pd.DataFrame, means: pd.DataFrame, star: bool = False) -> str:
    """Explain the bold entries of a table of scores; empty if no two methods are compared.

    Args:
        tests: the result of `benchmarks.results.paired.pairs`.
        means: the entries of the table.
        star: whether the table marks these entries by a star, because a terminal may not show bold text.
    """
    if not len(tests):
        return ""
    several = tests["model"].isin(tests.loc[tests["task"] == paired.ALL, "model"])
    alone = several & (tests["task"] != paired.ALL)
    tested = tests["p"].notna()
    nothing = "No score has a star" if star else "Nothing is bold"
    if not tested.any():
        return (
            f"{nothing}: {_span(tests['n'])} {'pair' if tests['n'].max() == 1 else 'pairs'} of runs "
            f"cannot show a significant difference, which takes at least {_span(tests['needed'])}."
        )
    pooled = tested & ~alone if (tested & ~alone).any() else tested
    better = "significantly better than every other tested method"
    winners = paired.winners(tests)
    hidden = _without_mean(winners, means)
    if len(winners) > len(hidden):
        found = f"{'*' if star else 'Bold'}: {better}"
    elif hidden:
        found = f"{nothing}: the best method has no mean"
    else:
        found = f"{nothing}: no method is {better}"
    equal = "tasks and seeds" if several.any() else "seeds"
    note = (
        f"{found} at the 5 % level (sign-flip permutation tests over "
        f"{_span(tests.loc[pooled, 'n'])} pairs of runs with equal {equal}, assumed independent; "
        "Holm-corrected over all pairs of methods)."
    )
    if alone.any():
        note += f" Tasks with at least {_span(tests.loc[alone, 'needed'])} pairs are also tested alone."
    elif several.any():
        note += " No task is tested alone, because it has too few pairs."
    if hidden:
        note += (
            f" {', '.join(hidden)}: {better} over all tasks, but without a mean, because a task is missing."
        )
    if not tested[~alone].all():
        note += f" Methods with fewer than {paired.pairs_needed(1)} common pairs are not tested."
    return note


def _without_mean(winners: Winners, means: pd.DataFrame) -> list[str]:
    """Return the methods that win over all tasks of a model and lack a score on one of them."""
    scored = means[means["outcome"] == "done"].groupby(["model", "label"])["task"].nunique()
    tasks = means.groupby("model")["task"].nunique()
    return [
        label
        for (model, task), label in winners.items()
        if task == paired.ALL and scored.get((model, label), 0) < tasks[model]
    ]


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
        tests: `benchmarks.results.paired.pairs` of the selected runs.
        tuned: the results of the tuning trials, if they belong to another suite.
    """
    return {
        "intervals": _intervals(stats.intervals(results.selected)),
        "pairs": pairs_table(tests),
        "ranks": _ranks(results.selected),
        "trials": _trials(trials_table(tuned, results) if tuned else trials_table(results), bool(tuned)),
    }


def column(values: pd.Series, form: str, scale: float = 1) -> list[str]:
    return [NONE if pd.isna(value) else f"{scale * value:{form}}" for value in values]


def _intervals(means: pd.DataFrame) -> ReportTable:
    low, high = (column(means[name], ".1f", 100) for name in ("ci_low", "ci_high"))
    table = {
        "model": means["model"],
        "task": [task_heading(*pair) for pair in zip(means["title"], means["metric"], strict=True)],
        "method": means["label"],
        f"mean ({score_unit(means)})": column(means["mean"], ".1f", 100),
        LABEL: column(means["majority"], ".1f", 100),
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
    if means["majority"].isna().all():
        del table[LABEL]
    return ReportTable("Mean test scores with 95 % intervals", pd.DataFrame(table), means, note)


def pairs_table(tests: pd.DataFrame) -> ReportTable:
    """Return the table of paired tests.

    Args:
        tests: the result of `benchmarks.results.paired.pairs`.
    """
    low, high = (column(tests[name], "+.1f", 100) for name in ("ci_low", "ci_high"))
    table = {
        "model": tests["model"],
        "tasks": tests["title"],
        "a": tests["a"],
        "b": tests["b"],
        "a - b (points)": column(tests["difference"], "+.1f", 100),
        "95 % interval": [NONE if a == NONE else f"{a} to {b}" for a, b in zip(low, high, strict=True)],
        "wins / ties / losses": [
            f"{wins} / {ties} / {losses}"
            for wins, ties, losses in zip(tests["wins"], tests["ties"], tests["losses"], strict=True)
        ],
        "p, Holm": [f"{p:.4f}" if p >= 1e-4 else NONE if pd.isna(p) else "<0.0001" for p in tests["p_holm"]],
        "pairs": tests["n"].astype(str),
    }
    constant = [name for name, of in (("model", "model"), ("tasks", "title")) if tests[of].nunique() == 1]
    note = (
        "Two runs form a pair if they have the same task and seeds, and a wins the pair if its score is "
        "higher. p is from a sign-flip permutation test of the mean difference, Holm-corrected over all "
        "pairs of methods. The interval inverts this test without the correction. Both assume independent "
        "pairs, so they generalize to new seeds of these tasks, but not to new tasks."
    )
    if tests["p"].isna().any():
        note += " A dash means that the pairs are too few for a significant difference."
    table = pd.DataFrame(table).drop(columns=constant)
    return ReportTable("Paired tests between methods", table, tests, note)


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


def _trials(found: pd.DataFrame, separate: bool) -> ReportTable:
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
    note = (
        "The trials are a suite of their own. The chosen setting is that of the runs in this report."
        if separate
        else "The setting with the best mean validation score was chosen."
    )
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
        f"## Excluded rows\n\n{text}\n\nThese rows are excluded from all tables and figures, because runs "
        "that differ in one of these properties cannot be averaged or compared. The tables use the newest "
        "version of a task, and otherwise the most frequent value.\n"
    )
