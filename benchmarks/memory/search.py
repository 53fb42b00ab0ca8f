"""Searches for the largest batch and the largest L_T that fit in a memory budget.

Every result is verified by predictions (`memory.estimator`) at the result and at the next larger value.
Interpolation only chooses where to predict next.
"""

from collections.abc import Callable, Mapping, Sequence

from addax import units
from addax.assignment import assign, choose_length_threshold
from addax.memory import Prediction
from benchmarks.config.methods import method_class
from benchmarks.config.spec import RunSpec
from benchmarks.data.tokenize import Encoded
from benchmarks.errors import UserError
from benchmarks.memory import estimator

# After this many predictions, every other step bisects (or doubles) instead of interpolating.
STRAIGHT = 4


def worst_case_batch(rows: Sequence[Encoded], size: int) -> list[Encoded]:
    """Return the batch of up to `size` rows that needs the most memory.

    It consists of the longest rows. If possible, it includes a shorter row, because padding needs a mask, or
    the row with the longest answer.
    """

    def weight(row: Encoded) -> tuple[int, ...]:
        return row.length, len(row.answer), sum(map(len, row.candidates))

    ranked = sorted(rows, key=weight, reverse=True)
    found = ranked[:size]
    if size > 1 and found[-1].length == found[0].length:
        # A shorter row makes the batch need a mask.
        found[-1] = next((row for row in ranked if row.length < found[0].length), found[-1])
    # The number of logits depends on the longest answer, which may be in a shorter row.
    answer = max(ranked, key=lambda row: len(row.answer))
    if size > 1 and len(answer.answer) > max(len(row.answer) for row in found):
        found[-1] = answer
    return found


def peak_of(
    spec: RunSpec,
    rows: Sequence[Encoded],
    sizes: Mapping[str, int],
    length_threshold: int | None,
    device: str,
) -> Prediction:
    """Predict the peak of the heaviest step that a run can take.

    Args:
        spec: the run; its batch sizes and its threshold are ignored.
        rows: the training rows.
        sizes: zo_batch_size and fo_batch_size if the method has them, and eval_batch_size.
        length_threshold: L_T in tokens; None if both batches are drawn from all rows.
        device: "cpu" or "cuda".
    """
    part = assign([row.length for row in rows], length_threshold)
    batches = {}
    for name, pool in (("zo", part.zo), ("fo", part.fo)):
        if sizes.get(f"{name}_batch_size"):
            batches[name] = worst_case_batch([rows[i] for i in pool], sizes[f"{name}_batch_size"])
    if "full_loss" in method_class(spec.method).closures:
        batches["full"] = worst_case_batch(rows, sizes["eval_batch_size"])
    return estimator.predict(spec, batches, device)


def largest_threshold(peak: Callable[[int | None], int], rows: Sequence[Encoded], usable: int) -> int | None:
    """Return the largest L_T, in tokens, at which a run fits; None if the run fits without an L_T.

    Args:
        peak: a function from L_T (None for a run without an L_T) to the peak in bytes.
        rows: the training rows.
        usable: the budget, in bytes.

    Raises:
        ValueError: the run does not fit at any L_T.
    """
    lengths = [row.length for row in rows]
    longest = max(lengths)
    # If L_T is the longest length, D0 is empty, which is the run without a threshold.
    return choose_length_threshold(lengths, lambda n: peak(None if n == longest else n) <= usable)


def automatic_threshold(spec: RunSpec, rows: Sequence[Encoded], sizes: Mapping[str, int]) -> int | None:
    """Return the largest L_T that fits for a run whose length_threshold is, for example, "auto:40GB".

    The peak is that of the run's device at the given batch sizes.

    Raises:
        UserError: the run does not fit at any L_T.
    """
    given = spec.length_threshold
    device = spec.device.partition(":")[0]
    reserve = units.reserve(device)
    usable = units.parse_bytes(given.memory, "length_threshold") - reserve
    peaks = []

    def peak(length_threshold: int | None) -> int:
        peaks.append(peak_of(spec, rows, sizes, length_threshold, device).peak_bytes)
        return peaks[-1]

    try:
        return largest_threshold(peak, rows, usable)
    except ValueError as error:
        raise UserError(
            f"length_threshold={given}: {error}; with zo_batch_size={sizes['zo_batch_size']} and "
            f"fo_batch_size={sizes['fo_batch_size']} a run needs "
            f"at least {units.format_bytes(min(peaks) + reserve)}; use more memory, smaller batches, "
            "or gradient_checkpointing=true"
        ) from None


def largest(peak: Callable[[int], int], usable: int, limit: int) -> int:
    """Return the largest integer from 1 to `limit` whose peak fits; 0 if 1 does not fit.

    Args:
        peak: a monotonic function from an integer to bytes. It is called for the result and for the next
            integer.
        usable: the budget, in bytes.
        limit: the largest integer to try.
    """
    known: dict[int, int] = {}
    low, high, guess = 0, limit + 1, 1
    while high - low > 1:
        known[guess] = peak(guess)
        if known[guess] <= usable:
            low = guess
        else:
            high = guess
        guess = _between(known, low, high, usable)
    return low


def _between(known: Mapping[int, int], low: int, high: int, usable: int) -> int:
    """Return the next integer to try, between `low`, which fits, and `high`, which does not."""
    below = sorted(n for n in known if n <= low)
    a, b = (low, high) if high in known and low in known else (below[-2:] if len(below) > 1 else (0, 0))
    if a != b and known[a] == known[b]:
        # The peak does not depend on the integer in this range, because it is in another part of the step.
        found = high - 1
    elif a == b or (len(known) > STRAIGHT and len(known) % 2):
        found = (low + high) // 2 if high in known else 2 * low
    else:
        found = low + int((usable - known[low]) * (b - a) // (known[b] - known[a]))
    return max(low + 1, min(found, high - 1))
