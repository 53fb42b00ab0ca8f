"""What fits in a budget of memory: the heaviest batches a run can draw, the largest batch, the largest L_T.

Every answer rests on predictions at it and just beyond it (`memory.estimator`); lines through earlier
predictions only say where to look next.
"""

from collections.abc import Callable, Mapping, Sequence

from addax import units
from addax.assignment import assign, choose_length_threshold
from benchmarks.config.methods import method_class
from benchmarks.config.spec import RunSpec
from benchmarks.data.tokenize import Encoded
from benchmarks.errors import UserError
from benchmarks.memory import estimator as memory_model
from benchmarks.memory.estimator import Prediction

# Interpolations that may follow each other; from then on every other step halves what is left, or doubles.
STRAIGHT = 4


def worst_case_batch(rows: Sequence[Encoded], size: int) -> list[Encoded]:
    """The worst batch of up to `size` rows that a draw can give: the longest, padded, the longest answer."""

    def weight(row: Encoded) -> tuple[int, ...]:
        return row.length, len(row.answer), sum(map(len, row.candidates))

    ranked = sorted(rows, key=weight, reverse=True)
    found = ranked[:size]
    if size > 1 and found[-1].length == found[0].length:
        # One that is shorter costs a mask.
        found[-1] = next((row for row in ranked if row.length < found[0].length), found[-1])
    # Logits are those of the longest answer, which the longest row need not have.
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
    """The peak of the heaviest step that a run can take.

    Args:
        spec: the run; its own batch sizes and threshold are not looked at.
        rows: the training rows.
        sizes: zo_batch_size and fo_batch_size where the method has them, and eval_batch_size.
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
    return memory_model.predict(spec, batches, device)


def largest_threshold(peak: Callable[[int | None], int], rows: Sequence[Encoded], usable: int) -> int | None:
    """The largest L_T in tokens at which a run fits; None where no L_T is needed.

    Args:
        peak: L_T, or None for a run without -> bytes.
        rows: the training rows.
        usable: bytes.

    Raises:
        ValueError: it fits at none.
    """
    lengths = [row.length for row in rows]
    longest = max(lengths)
    # At the longest length nothing is left for D0: that is the run without a threshold.
    return choose_length_threshold(lengths, lambda n: peak(None if n == longest else n) <= usable)


def automatic_threshold(spec: RunSpec, rows: Sequence[Encoded], sizes: Mapping[str, int]) -> int | None:
    """L_T of a run whose length_threshold is "auto:40GB", on the run's own device, at its own batch sizes.

    Raises:
        UserError: the run fits at none.
    """
    given = spec.length_threshold
    device = spec.device.partition(":")[0]
    held = units.reserve(device)
    usable = units.parse_bytes(given.memory, "length_threshold") - held
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
            f"{units.format_bytes(min(peaks) + held)} at least: give more, smaller batches "
            "or gradient_checkpointing=true"
        ) from None


def largest(peak: Callable[[int], int], usable: int, limit: int) -> int:
    """The largest whole number from 1 to `limit` whose peak fits; 0 where that of 1 does not.

    Args:
        peak: number -> bytes, which may only grow. Asked about the answer and the number after it.
        usable: bytes.
        limit: largest number of interest.
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
    """Where to look next, between what fits and what does not."""
    below = sorted(n for n in known if n <= low)
    a, b = (low, high) if high in known and low in known else (below[-2:] if len(below) > 1 else (0, 0))
    if a != b and known[a] == known[b]:
        # What grows with the number is not yet the peak.
        found = high - 1
    elif a == b or (len(known) > STRAIGHT and len(known) % 2):
        found = (low + high) // 2 if high in known else 2 * low
    else:
        found = low + int((usable - known[low]) * (b - a) // (known[b] - known[a]))
    return max(low + 1, min(found, high - 1))
