"""Means over seeds with bootstrap intervals, and the spread over each kind of seed.

All statistics use test scores at the setting selected on validation data (`benchmarks.results.select`).
"""

import numpy as np
import pandas as pd

LEVEL = 0.05
RESAMPLES = 9999
MIN_FOR_INTERVAL = 3
RUN = ["seed", "data_seed"]


def finished(selected: pd.DataFrame) -> pd.DataFrame:
    """Return the finished runs with a score; a missing seed becomes 0."""
    runs = selected[(selected["outcome"] == "done") & selected["score"].notna()]
    return runs.fillna(dict.fromkeys(RUN, 0))


def intervals(selected: pd.DataFrame) -> pd.DataFrame:
    """Return means over seeds with bootstrap intervals, and the spread over each kind of seed.

    Args:
        selected: `benchmarks.results.frame.Results.selected`.

    Returns:
        One line per model, task, and label with a finished run. Columns: model, task, title, label, metric,
        n (runs), seeds and data_seeds (numbers of distinct seeds), mean, majority (the mean majority score),
        ci_low and ci_high (95 % BCa interval; nan with fewer than three resampled units, or data seeds with
        unequal numbers of runs), resampled ("runs" or "data seeds"), spread_seed, spread_data, and varies.
        spread_seed is the standard deviation over method seeds with equal data, and spread_data is that over
        data seeds with an equal method seed. Both are pooled, include the interaction, and are nan if that
        seed never varies alone. varies is "seed", "data_seed", "both", "together" (each data seed has a
        different method seed, so their effects cannot be separated), or "nothing".
    """
    lines = []
    for (model, task, label), cell in finished(selected).groupby(["model", "task", "label"], sort=False):
        low, high, unit = _interval(cell)
        lines.append(
            {
                "model": model,
                "task": task,
                "title": cell["title"].iloc[0],
                "label": label,
                "metric": cell["metric"].iloc[0],
                "n": len(cell),
                "seeds": cell["seed"].nunique(),
                "data_seeds": cell["data_seed"].nunique(),
                "mean": cell["score"].mean(),
                "majority": cell["majority"].mean(),
                "ci_low": low,
                "ci_high": high,
                "resampled": unit,
                "spread_seed": _pooled(cell, "data_seed"),
                "spread_data": _pooled(cell, "seed"),
                "varies": _varies(cell),
            }
        )
    columns = ["model", "task", "title", "label", "metric", "n", "seeds", "data_seeds", "mean", "majority",
               "ci_low", "ci_high", "resampled", "spread_seed", "spread_data", "varies"]  # fmt: skip
    return pd.DataFrame(lines, columns=columns)


def _interval(cell: pd.DataFrame) -> tuple[float, float, str]:
    """Return a 95 % interval of the mean, and the unit that was resampled.

    Runs on the same data are not independent, so data seeds are resampled if some have several runs. The mean
    over data seeds is the mean over runs only if each has equally many runs; otherwise there is no interval.
    """
    by_data = cell.groupby("data_seed")["score"]
    sizes = by_data.size()
    if len(sizes) == 1 or sizes.max() == 1:
        return *interval(cell["score"].to_numpy()), "runs"
    values = by_data.mean().to_numpy() if sizes.nunique() == 1 else np.empty(0)
    return *interval(values), "data seeds"


def interval(values: np.ndarray) -> tuple[float, float]:
    """Return the 95 % bootstrap interval (BCa, fixed generator) of a mean; nan with fewer than three values.

    If all values are equal, both ends of the interval are that value.
    """
    from scipy.stats import bootstrap

    if len(values) < MIN_FOR_INTERVAL:
        return float("nan"), float("nan")
    if np.ptp(values) == 0:
        return float(values[0]), float(values[0])
    found = bootstrap(
        (values,), np.mean, n_resamples=RESAMPLES, method="BCa", rng=np.random.default_rng(0)
    ).confidence_interval
    return float(found.low), float(found.high)


def _pooled(cell: pd.DataFrame, at_equal: str) -> float:
    """Return the standard deviation within groups of an equal seed, pooled by degrees of freedom."""
    groups = cell.groupby(at_equal)["score"]
    freedom = (groups.size() - 1).sum()
    squares = ((cell["score"] - groups.transform("mean")) ** 2).sum()
    return float(np.sqrt(squares / freedom)) if freedom else float("nan")


def _varies(cell: pd.DataFrame) -> str:
    seeds, data = cell["seed"].nunique() > 1, cell["data_seed"].nunique() > 1
    if seeds and data:
        # If no two runs share a seed of either kind, both seeds change together.
        alone = cell.groupby("seed").size().max() > 1 or cell.groupby("data_seed").size().max() > 1
        return "both" if alone else "together"
    return "seed" if seeds else "data_seed" if data else "nothing"
