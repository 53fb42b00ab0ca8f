"""Paired tests of one method against each of some others, chosen before the runs.

    difference = score of the other method - score of the reference, over pairs of runs with equal task and
    seeds

The test, the interval, and the correction are those of `benchmarks.results.paired`, but Holm's correction
covers the given comparisons only. A family of five comparisons needs 8 pairs of runs, and all 15 pairs of six
methods need 10.
"""

from collections.abc import Sequence

import pandas as pd

from benchmarks.results import paired
from benchmarks.results.stats import LEVEL, RUN

COLUMNS = ["label", "n", "difference", "ci_low", "ci_high", "wins", "ties", "losses", "p", "p_holm",
           "separated"]  # fmt: skip


def against(
    runs: pd.DataFrame, reference: str, others: Sequence[str], measure: str = "score"
) -> pd.DataFrame:
    """Return the comparison of each other method with the reference.

    Args:
        runs: one line per run of one model, at the selected settings.
        reference: label of the method that the others are compared with.
        others: labels of the other methods. One without a finished run has a line of missing values, and
            still counts in Holm's correction.
        measure: the column to compare: "score", "score_long", or "score_short".

    Returns:
        One line per other method, in the given order: label, n (pairs of runs), difference (its mean score
        minus the reference's), ci_low and ci_high (95 % interval, without the correction), wins, ties, and
        losses (of the other method), p and p_holm (nan with fewer than `paired.pairs_needed(1)` pairs), and
        separated (whether p_holm is below 5 %).
    """
    done = runs[(runs["outcome"] == "done") & runs[measure].notna()]
    wide = done.pivot_table(measure, ["task", *RUN], "label", aggfunc="first")
    wide = wide.reindex(columns=[reference, *others])
    lines = []
    for label in others:
        values = (wide[label] - wide[reference]).dropna().to_numpy()
        low, high = paired.interval(values)
        tested = len(values) >= paired.pairs_needed(1)
        lines.append(
            {
                "label": label,
                "n": len(values),
                "difference": values.mean() if len(values) else float("nan"),
                "ci_low": low,
                "ci_high": high,
                "wins": int((values > 0).sum()),
                "ties": int((values == 0).sum()),
                "losses": int((values < 0).sum()),
                "p": paired.sign_flip(values) if tested else float("nan"),
            }
        )
    # A comparison without enough pairs counts as p = 1, so a missing method never makes the others
    # significant.
    corrected = paired.holm([1.0 if pd.isna(line["p"]) else line["p"] for line in lines])
    for line, p_holm in zip(lines, corrected, strict=True):
        line["p_holm"] = float("nan") if pd.isna(line["p"]) else p_holm
        line["separated"] = line["p_holm"] < LEVEL
    return pd.DataFrame(lines, columns=COLUMNS)
