"""What a suite's report shows, computed once for Markdown, CSV, LaTeX, and HTML."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from benchmarks import registry
from benchmarks.errors import UserError
from benchmarks.report import paper_tables, stats_tables
from benchmarks.report.costs import costs_table
from benchmarks.report.predictions import predicted_peaks
from benchmarks.report.provenance import provenance_line
from benchmarks.report.stats_tables import ReportTable
from benchmarks.report.tables import Winners, long_table
from benchmarks.results import published, stats
from benchmarks.results.frame import Results, require_rows
from benchmarks.results.select import CELL
from benchmarks.results.sources import load_rows


@dataclass(frozen=True)
class Analysis:
    """One suite's results and what tables and the page print of them.

    Attributes:
        suite: name of the suite.
        results: its rows, and frames of them.
        tests: `benchmarks.results.stats.pairs` of the selected runs.
        winners: `benchmarks.results.stats.winners` of the tests.
        note: one line on where the numbers come from.
        predicted: for each entry of `results.means` the predicted peak in bytes; nan where there is none.
        tables: the long tables by the stem of their files.
    """

    suite: str
    results: Results
    tests: pd.DataFrame
    winners: Winners
    note: str
    predicted: pd.Series
    tables: Mapping[str, ReportTable]


def analyze(suite: str, results: Results, numbers: pd.DataFrame | None = None) -> Analysis:
    """Compute what tables and the page print.

    Args:
        suite: names the rows.
        results: the rows of runs, failed ones among them.
        numbers: `benchmarks.results.published.load`'s; None loads those of the suite.

    Raises:
        UserError: there are no rows.
    """
    require_rows(results, suite)
    means, note = results.means, provenance_line(results.comparable)
    tests = stats.pairs(results.selected)
    tables = {
        "methods": ReportTable("All measures", long_table(means), means.drop(columns="title"), note),
        **stats_tables.build_tables(results, tests, _tuned(suite)),
    }
    if (costs := costs_table(means)) is not None:
        tables["costs"] = costs
    if paper := paper_tables.paper_of(suite):
        numbers = published.load() if numbers is None else numbers
        tables["published"] = paper_tables.printed(means, paper, numbers)
        tables["stated"] = paper_tables.stated(paper)
    return Analysis(suite, results, tests, stats.winners(tests), note, _predicted(results), tables)


def _tuned(suite: str) -> Results | None:
    """The rows of the suite that chose this one's settings, where it names one and there are any."""
    if suite not in registry.files("suite"):
        return None
    trials = getattr(registry.module("suite", suite), "TRIALS", None)
    try:
        return None if trials is None else Results.of(*load_rows(trials))
    except UserError:
        return None


def _predicted(results: Results) -> pd.Series:
    """Predicted peak of each entry of the means."""
    chosen = set(results.selected["id"])
    peaks = predicted_peaks([row for row in results.comparable if row["id"] in chosen])
    of_cell = results.selected.assign(predicted=results.selected["id"].map(peaks).astype(float))
    means = of_cell.groupby(CELL, sort=False)["predicted"].first()
    return means.reindex(pd.MultiIndex.from_frame(results.means[CELL])).reset_index(drop=True)
