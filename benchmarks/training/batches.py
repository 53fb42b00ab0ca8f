"""Training batches: drawn from D0 and D1 with the same draws for every method; and the heaviest ones."""

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from addax import assignment
from benchmarks.config.spec import RunSpec
from benchmarks.data.tokenize import Encoded
from benchmarks.errors import UserError

# (spec, training rows, batch sizes) -> L_T in tokens, or None if the run fits without a threshold.
ChooseLengthThreshold = Callable[[RunSpec, Sequence[Encoded], Mapping[str, int]], int | None]


class Batches:
    """Batches of a run.

    Args:
        spec: the run, which defines the length threshold and the seed of the draws.
        rows: the encoded training rows.
        sizes: current batch sizes.
        choose_length_threshold: chooses the threshold if the spec gives an amount of memory instead.

    Raises:
        UserError: a batch would be drawn from an empty pool, or no threshold fits in the memory.
    """

    def __init__(
        self,
        spec: RunSpec,
        rows: Sequence[Encoded],
        sizes: Mapping[str, int],
        choose_length_threshold: ChooseLengthThreshold | None = None,
    ) -> None:
        self.rows, self.seed = rows, spec.data_seed
        lengths = [e.length for e in rows]
        threshold = spec.length_threshold
        if threshold is not None and threshold.memory is not None:
            if choose_length_threshold is None:
                raise UserError(
                    f"length_threshold={threshold} needs a memory predictor: set the threshold in tokens"
                )
            threshold = choose_length_threshold(spec, rows, sizes)
        elif threshold is not None:
            threshold = threshold.resolve(lengths)
        self.assignment = assignment.assign(lengths, threshold)
        self._draws = {}
        for part, pool in (("zo", self.assignment.zo), ("fo", self.assignment.fo)):
            size = sizes.get(f"{part}_batch_size", 0)
            if size and not pool:
                which = "no" if part == "zo" else "every"
                raise UserError(
                    f"task {spec.task}: {which} training example is longer than "
                    f"length_threshold = {threshold} tokens (lengths {min(lengths)} to {max(lengths)}), "
                    f"so {part}_batch_size = {size} cannot be drawn: "
                    f"change the threshold, or set {part}_batch_size=0"
                )
            if size:
                self._draws[part] = (pool, min(size, len(pool)))

    def at(self, step: int) -> dict[str, list[int]]:
        """Return the indices of the training rows in each part's batch ("zo", "fo") at a step.

        The result depends only on the data seed, the step, and the pool, so it is equal for all methods.
        """
        return {
            part: Random(f"{self.seed} {step} {part}").sample(*draw) for part, draw in self._draws.items()
        }

    def of(self, indices: Mapping[str, Sequence[int]]) -> dict[str, list[Encoded]]:
        """Return the training rows at the given indices, for each part."""
        return {part: [self.rows[i] for i in chosen] for part, chosen in indices.items()}

    def heavier(
        self, first: Mapping[str, list[int]], second: Mapping[str, list[int]]
    ) -> dict[str, list[int]]:
        """Return the batch with more padded tokens for each part of `second`; on a tie, that of `first`."""

        def tokens(chosen: Sequence[int]) -> int:
            return len(chosen) * max((self.rows[i].length for i in chosen), default=0)

        return {
            part: chosen if tokens(chosen) > tokens(first.get(part, [])) else first[part]
            for part, chosen in second.items()
        }


def by_length(rows: Sequence[Encoded], size: int) -> list[list[Encoded]]:
    """Sort rows by length, and split them into chunks of at most `size`."""
    ordered = sorted(rows, key=lambda e: e.length)
    return [ordered[i : i + size] for i in range(0, len(ordered), size)]


def token_counts(batch: Sequence[Encoded]) -> list[list[Any]]:
    """Return the lengths [prompt, [candidate, ...], answer] of each example, which determine its memory."""
    return [[len(e.prompt), [len(c) for c in e.candidates], len(e.answer)] for e in batch]
