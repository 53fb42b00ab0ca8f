"""Predicted peak memory of runs, joined to their rows when a report is made.

A row keeps the sizes of the heaviest batches that its run could draw ("heaviest_batches"), and the predictor
follows one training step on tensors without values. Traces are kept on disk (`benchmarks.memory.cache`).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.errors import UserError
from benchmarks.results.comparable import label_of

if TYPE_CHECKING:
    from benchmarks.data.tokenize import Encoded

# Any token: a prediction depends on numbers of tokens alone.
TOKEN = 10


def predicted_peaks(rows: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Return predicted peaks in bytes by runs' ids: for each model and method, the run with the largest peak.

    Tasks differ in their lengths alone, and a trace takes about a second: predicting every task of `quick`
    would take minutes, and the largest peak decides whether a method fits.

    Args:
        rows: rows of runs. A row without heaviest batches, and a model that cannot be traced, have no
            prediction.
    """
    largest: dict[tuple, Mapping[str, Any]] = {}
    for row in rows:
        if row.get("heaviest_batches") and row.get("peak_bytes"):
            key = row["config"]["model"], label_of(row), row["config"].get("dtype")
            if key not in largest or row["peak_bytes"] > largest[key]["peak_bytes"]:
                largest[key] = row
    peaks = {row["id"]: _peak(row) for row in largest.values()}
    return {id: peak for id, peak in peaks.items() if peak is not None}


def _peak(row: Mapping[str, Any]) -> int | None:
    # Rows without heaviest batches need neither torch nor transformers.
    from benchmarks.config.spec import from_dict
    from benchmarks.memory import estimator

    config = row["config"]
    batches = {part: _examples(sizes) for part, sizes in row["heaviest_batches"].items()}
    device = "cuda" if config["device"].startswith(("cuda", "auto")) else "cpu"
    try:
        return estimator.predict(from_dict(config), batches, device).peak_bytes
    except UserError:
        # A user's own model may do what tensors without values cannot do, or be out of reach.
        return None


def _examples(sizes: Sequence[Sequence]) -> list["Encoded"]:
    """Examples of given numbers of tokens: of the prompt, of each candidate, and of the answer."""
    from benchmarks.data.tokenize import Encoded

    return [
        Encoded(
            (TOKEN,) * prompt,
            tuple((TOKEN,) * n for n in candidates),
            (TOKEN,) * answer,
            0,
            prompt + max([answer, *candidates]),
        )
        for prompt, candidates, answer in sizes
    ]
