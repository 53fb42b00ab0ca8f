"""What a suite's report is made of: its rows, their means, what tests support, and the tables of them."""

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from benchmarks import registry
from benchmarks.errors import UserError
from benchmarks.report import paper_tables as _paper_tables
from benchmarks.report import stats_tables as _statistics_tables
from benchmarks.report.stats_tables import Made
from benchmarks.report.tables import Winners, long_table, provenance
from benchmarks.results import comparable as _apart
from benchmarks.results import published
from benchmarks.results import stats as statistics
from benchmarks.results.frame import frame, raw, summary


class Analysis(NamedTuple):
    """One suite's rows and all that is computed from them, once for Markdown, CSV, LaTeX and HTML.

    Attributes:
        suite: its name.
        rows: all of them.
        kept: those that may be compared and averaged.
        aside: what is set apart, as `benchmarks.results.comparable.split` tells it.
        data: `benchmarks.results.frame.frame`'s of the rows kept.
        means: `benchmarks.results.frame.summary`'s.
        tests: `benchmarks.results.stats.pairs`'s.
        winners: `benchmarks.results.stats.winners`'s.
        note: the line on where the numbers come from.
        made: the long tables by the stem of their files.
    """

    suite: str
    rows: list[dict]
    kept: list[dict]
    aside: list[dict]
    data: pd.DataFrame
    means: pd.DataFrame
    tests: pd.DataFrame
    winners: Winners
    note: str
    made: dict[str, Made]


def analyse(suite: str, rows: Sequence[dict], numbers: pd.DataFrame | None = None) -> Analysis:
    """Computes what tables and pages print.

    Args:
        suite: names the rows.
        rows: result rows, failed ones among them.
        numbers: `benchmarks.results.published.load`'s; None loads those of the suite.

    Raises:
        UserError: there are no rows.
    """
    kept, aside = _apart.split(rows)
    data = framed(kept, suite)
    means, tests, note = summary(data), statistics.pairs(data), provenance(kept)
    made = {"methods": Made("All measures", long_table(means), means.drop(columns="title"), note)}
    made |= _statistics_tables.made(data, tests, _tried(suite))
    if paper := _paper_tables.paper_of(suite):
        numbers = published.load() if numbers is None else numbers
        made["published"] = _paper_tables.printed(means, paper, numbers)
        made["stated"] = _paper_tables.stated(paper)
    winners = statistics.winners(tests)
    return Analysis(suite, list(rows), kept, aside, data, means, tests, winners, note, made)


def _tried(suite: str) -> pd.DataFrame | None:
    """The rows of the suite that chose this one's settings, where it names one and there are any."""
    if suite not in registry.files("suite"):
        return None
    trials = getattr(registry.module("suite", suite), "TRIALS", None)
    try:
        return None if trials is None else frame(*raw(trials))
    except UserError:
        return None


def framed(rows: Sequence[dict], suite: str = "quick") -> pd.DataFrame:
    """`benchmarks.results.frame.frame` of rows, of which there must be some."""
    if not rows:
        raise UserError(f"no result rows to tabulate: run `python -m benchmarks sweep {suite}` first")
    return frame(list(rows))
