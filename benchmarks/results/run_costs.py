"""Memory and time of full runs, computed from a few steps of each method that were measured side by side.

    time of a run = number of its steps x median time of a step
    peak memory = that of the measured steps

The runs of a suite may share the machine with others, so their own times cannot be compared.
"""

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from benchmarks.results.comparable import label_of

KEY = ["model", "task", "label"]
CHECKPOINTING = " (checkpointing)"


def measured(rows: Iterable[Mapping]) -> pd.DataFrame:
    """Return one line per row of a few steps: model, task, label, peak_bytes, and step_seconds."""
    lines = [
        {
            **{name: row["config"][name] for name in ("model", "task")},
            "label": label_of(row),
            "peak_bytes": row["peak_bytes"],
            "step_seconds": row["step_seconds"],
        }
        for row in rows
        if row["status"] == "done"
    ]
    return pd.DataFrame(lines, columns=[*KEY, "peak_bytes", "step_seconds"])


def with_costs(means: pd.DataFrame, rows: Sequence[Mapping]) -> pd.DataFrame:
    """Replace the memory and time of each entry by those of the measured steps.

    A method with gradient checkpointing that was measured but has no entry computes the same steps as the
    method without, so it gets a copy of that method's entry.

    Args:
        means: one line per model, task, and label, with the number of steps.
        rows: the rows of the measured steps.

    Returns:
        The entries with new peak_bytes and train_seconds; nan for a trained method that was not measured.
    """
    costs = measured(rows)
    known = set(zip(*(means[name] for name in KEY), strict=True))
    copies = []
    for cost in costs.itertuples():
        plain = cost.label.removesuffix(CHECKPOINTING)
        if plain != cost.label and (cost.model, cost.task, cost.label) not in known:
            same = (means["model"] == cost.model) & (means["task"] == cost.task) & (means["label"] == plain)
            copies.append(means[same].assign(label=cost.label))
    entries = pd.concat([means, *copies], ignore_index=True)
    entries = entries.drop(columns=["peak_bytes", "peak_bytes_std", "train_seconds"], errors="ignore")
    found = entries.merge(costs, on=KEY, how="left")
    return found.assign(train_seconds=found["steps"] * found["step_seconds"])
