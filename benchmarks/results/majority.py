"""The majority scores beside the scores of tables and figures, from the rows that have them."""

import pandas as pd

LABEL = "majority"
# Column of a score -> column of the majority score on the same rows.
BESIDE = {
    "score": "majority",
    "score_long": "majority_long",
    "score_short": "majority_short",
    "validation_score": "majority_validation",
}


def by_task(data: pd.DataFrame, column: str = "score") -> dict[str, float]:
    """Return the majority score of each task of one model: of the method with the most seeds.

    Methods with equal seeds and equally many training rows have equal majority scores.

    Args:
        data: lines of one model from `benchmarks.results.select.mean_over_seeds`.
        column: a key of `BESIDE`.

    Returns:
        Task -> score as in the rows. Tasks whose rows have no majority score are left out.
    """
    known = data[data[BESIDE[column]].notna()].sort_values("n", ascending=False, kind="stable")
    return known.groupby("task", sort=False)[BESIDE[column]].first().to_dict()
