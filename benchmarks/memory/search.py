"""Find what fits in a memory budget: a run's heaviest batches, the largest batch, the largest L_T.

Every answer is verified by predictions at it and just beyond it (`memory.estimator`); interpolation only
chooses where to predict next.
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
    """Return the heaviest batch of up to `size` rows: the longest rows, padding, and the longest answer."""

    def weight(row: Encoded) -> tuple[int, ...]:
        return row.length, len(row.answer), sum(map(len, row.candidates))

    ranked = sorted(rows, key=weight, reverse=True)
    found = ranked[:size]
    if size > 1 and found[-1].length == found[0].length:
        # A shorter row costs a mask.
        found[-1] = next((row for row in ranked if row.length < found[0].length), found[-1])
    # The number of logits depends on the longest answer, which need not be in the longest row.
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
        length_threshold: L_T in tokens; None: both batches are drawn from all rows.
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
    """Return the largest L_T, in tokens, at which a run fits; None if it fits without one.

    Args:
        peak: L_T, or None for a run without one -> peak in bytes.
        rows: the training rows.
        usable: bytes.

    Raises:
        ValueError: the run fits at no L_T.
    """
    lengths = [row.length for row in rows]
    longest = max(lengths)
    # At the longest length D0 is empty, which is the run without a threshold.
    return choose_length_threshold(lengths, lambda n: peak(None if n == longest else n) <= usable)


def automatic_threshold(spec: RunSpec, rows: Sequence[Encoded], sizes: Mapping[str, int]) -> int | None:
    """Return L_T of a run whose length_threshold is "auto:40GB", on the run's device, at its batch sizes.

    Raises:
        UserError: the run fits at no L_T.
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
            f"{units.format_bytes(min(peaks) + reserve)} at least: give more, smaller batches "
            "or gradient_checkpointing=true"
        ) from None


def largest(peak: Callable[[int], int], usable: int, limit: int) -> int:
    """Return the largest integer from 1 to `limit` whose peak fits; 0 if 1 does not fit.

    Args:
        peak: integer -> bytes, monotonic. It is called for the answer and for the next integer.
        usable: bytes.
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
    """Return the integer to try next, between one that fits and one that does not."""
    below = sorted(n for n in known if n <= low)
    a, b = (low, high) if high in known and low in known else (below[-2:] if len(below) > 1 else (0, 0))
    if a != b and known[a] == known[b]:
        # The peak is elsewhere in the step and does not depend on the integer yet.
        found = high - 1
    elif a == b or (len(known) > STRAIGHT and len(known) % 2):
        found = (low + high) // 2 if high in known else 2 * low
    else:
        found = low + int((usable - known[low]) * (b - a) // (known[b] - known[a]))
    return max(low + 1, min(found, high - 1))
