"""The summary that a report prints: scores (%), mean peak memory, and total training time per method."""

import pandas as pd
from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from benchmarks.config.names import is_trained
from benchmarks.report.analysis import Analysis
from benchmarks.report.stats_tables import bold_note
from benchmarks.report.tables import NONE, block_of, unit_of
from benchmarks.results.majority import LABEL
from benchmarks.results.order import display_order, score_unit


def print_summary(analysis: Analysis, console: Console | None = None) -> None:
    """Print a table per model, the entries without a score, and the note on significance."""
    means = analysis.results.means
    under = f"{analysis.results.directions}\n" if analysis.results.directions else ""
    console = console or Console()
    memory, unit, digits = unit_of("peak_bytes", means)
    for model in display_order(means, "model"):
        block = means[means["model"] == model]
        cells = block_of(block, "score", bold="{}*", winners=analysis.winners)
        head = f"\n{model}: score ({score_unit(means)})\n{under}"
        table = Table(title=head, box=box.SIMPLE_HEAD, show_edge=False, padding=0)
        for heading in [*cells.columns, unit, "s"]:
            table.add_column(heading, justify="left" if heading == "method" else "right", no_wrap=True)
        for line in cells.itertuples(index=False):
            label = line[0]
            cost = block[block["label"] == label]
            peak, seconds = cost["peak_bytes"].mean() / memory, cost["seconds"].sum(min_count=1)
            ends = [
                NONE if pd.isna(peak) else f"{peak:.{digits}f}",
                NONE if label == LABEL or not is_trained(label) or pd.isna(seconds) else f"{seconds:.0f}",
            ]
            table.add_row(*line, *ends)
        # On a narrow terminal, long lines are better than a table that is cut or wrapped.
        table.width = Measurement.get(console, console.options.update_width(1000), table).maximum
        console.print(table, crop=False)
    console.print()
    for line in means.loc[means["outcome"] != "done"].itertuples():
        console.print(f"{line.outcome}: {line.label} on {line.title}, {line.model}", markup=False)
    if note := bold_note(analysis.tests, means, star=True):
        console.print(note, markup=False, highlight=False)
