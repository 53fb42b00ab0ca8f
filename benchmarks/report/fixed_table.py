"""Table of the comparisons of one method with others that were fixed before the runs."""

from typing import Any

import pandas as pd

from benchmarks.report.tables import NONE, pipe

P = "p, Holm"


def fixed_table(found: pd.DataFrame, reference: str, head: str = "method") -> str:
    """Return Markdown with a line per comparison.

    Args:
        found: the result of `benchmarks.results.fixed.against`.
        reference: label of the method that the others are compared with.
        head: heading of the first column.
    """
    lines = []
    for line in found.itertuples():
        compared = entries(line, reference)
        p = compared.pop(P)
        counts = f"{line.wins} / {line.ties} / {line.losses}"
        lines.append(
            {head: line.label, **compared, "wins / ties / losses": counts, P: p, "pairs": str(line.n)}
        )
    return pipe(pd.DataFrame(lines))


def entries(line: Any, reference: str) -> dict[str, str]:
    """Return the difference, its interval, and the corrected p of one comparison, by heading.

    Args:
        line: a line of the result of `benchmarks.results.fixed.against`; None means no comparison.
        reference: label of the method that the other is compared with.
    """
    difference = interval = p = NONE
    if line is not None and not pd.isna(line.difference):
        difference = f"{100 * line.difference:+.1f}"
    if line is not None and not pd.isna(line.ci_low):
        interval = f"{100 * line.ci_low:+.1f} to {100 * line.ci_high:+.1f}"
    if line is not None and not pd.isna(line.p_holm):
        p = "<0.0001" if line.p_holm < 1e-4 else f"{line.p_holm:.4f}"
    return {f"minus {reference} (points)": difference, "95 % interval": interval, P: p}
