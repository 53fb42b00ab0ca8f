"""Predicted peak memory of runs, joined to their rows when a report is built.

A row stores the sizes of the heaviest batches that its run could draw ("heaviest_batches"). The predictor
traces one training step with these batches on meta tensors. Traces are cached on disk
(`benchmarks.memory.cache`).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.errors import UserError
from benchmarks.results.comparable import label_of
from benchmarks.results.directions import direction_of

if TYPE_CHECKING:
    from benchmarks.data.tokenize import Encoded

# The value is arbitrary, because predictions depend only on numbers of tokens.
TOKEN = 10


def predicted_peaks(rows: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Return predicted peaks in bytes by run id, for the run with the largest peak of each model and method.

    A trace takes about a second, so predicting every task of `quick` would take minutes. Tasks differ only in
    their lengths, and the largest peak decides whether a method fits.

    Args:
        rows: rows of runs. Rows without heaviest batches, and models that cannot be traced, are left out.
    """
    largest: dict[tuple, Mapping[str, Any]] = {}
    for row in rows:
        if row.get("heaviest_batches") and row.get("peak_bytes"):
            config = row["config"]
            key = config["model"], label_of(row), config.get("dtype"), direction_of(config)
            if key not in largest or row["peak_bytes"] > largest[key]["peak_bytes"]:
                largest[key] = row
    peaks = {row["id"]: _peak(row) for row in largest.values()}
    return {id: peak for id, peak in peaks.items() if peak is not None}


def _peak(row: Mapping[str, Any]) -> int | None:
    # Imported here, because reports of rows without heaviest batches need neither torch nor transformers.
    from benchmarks.config.spec import from_dict
    from benchmarks.memory import estimator

    config = row["config"]
    batches = {part: _examples(sizes) for part, sizes in row["heaviest_batches"].items()}
    device = "cuda" if config["device"].startswith(("cuda", "auto")) else "cpu"
    try:
        return estimator.predict(from_dict(config), batches, device).peak_bytes
    except UserError:
        # A user's model may be unavailable, or use operations that meta tensors do not support.
        return None


def _examples(sizes: Sequence[Sequence]) -> list["Encoded"]:
    """Return examples with given numbers of tokens in the prompt, each candidate, and the answer."""
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
