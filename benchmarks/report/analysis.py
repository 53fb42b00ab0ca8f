"""The contents of a suite's report, computed once for Markdown, CSV, LaTeX, and HTML."""

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
from benchmarks.results import paired, published
from benchmarks.results.frame import Results, require_rows
from benchmarks.results.select import CELL
from benchmarks.results.sources import load_rows


@dataclass(frozen=True)
class Analysis:
    """The results of one suite, and everything that tables and the page print about them.

    Attributes:
        suite: name of the suite.
        results: the rows and their frames.
        tests: `benchmarks.results.paired.pairs` of the selected runs.
        winners: `benchmarks.results.paired.winners` of the tests.
        note: the provenance line.
        predicted: the predicted peak in bytes of each entry of `results.means`; nan without a prediction.
        tables: the long tables, by file stem.
    """

    suite: str
    results: Results
    tests: pd.DataFrame
    winners: Winners
    note: str
    predicted: pd.Series
    tables: Mapping[str, ReportTable]


def analyze(suite: str, results: Results, numbers: pd.DataFrame | None = None) -> Analysis:
    """Compute the contents of a suite's tables and page.

    Args:
        suite: name of the suite.
        results: the rows of the suite's runs, including failed runs.
        numbers: the published numbers from `benchmarks.results.published.load`; None loads them if needed.

    Raises:
        UserError: there are no rows.
    """
    require_rows(results, suite)
    means, note = results.means, provenance_line(results.comparable)
    tests = paired.pairs(results.selected)
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
    return Analysis(suite, results, tests, paired.winners(tests), note, _predicted(results), tables)


def _tuned(suite: str) -> Results | None:
    """Return the results of the suite of trials that a suite takes its settings from, if there are any."""
    if not registry.is_suite(suite):
        return None
    trials = getattr(registry.module("suite", suite), "TRIALS", None)
    try:
        return None if trials is None else Results.of(*load_rows(trials))
    except UserError:
        return None


def _predicted(results: Results) -> pd.Series:
    """Return the predicted peak of each entry of the means."""
    chosen = set(results.selected["id"])
    peaks = predicted_peaks([row for row in results.comparable if row["id"] in chosen])
    of_cell = results.selected.assign(predicted=results.selected["id"].map(peaks).astype(float))
    means = of_cell.groupby(CELL, sort=False)["predicted"].first()
    return means.reindex(pd.MultiIndex.from_frame(results.means[CELL])).reset_index(drop=True)
