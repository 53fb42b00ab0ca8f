"""Which training rows a step sees: drawn from D0 and D1, the same for every method; the heaviest of them."""

from collections.abc import Mapping, Sequence
from random import Random

from addax import assignment
from benchmarks.config.spec import RunSpec
from benchmarks.data.tokenize import Encoded
from benchmarks.errors import UserError
from benchmarks.memory import search as fitting


class Batches:
    """The batches of a run.

    Args:
        spec: names the threshold and the seed of the draws.
        rows: the encoded training rows.
        sizes: batch sizes in use.

    Raises:
        UserError: a batch is to be drawn from a pool without examples; or the threshold is to be chosen for
            a budget of memory that no choice fits.
    """

    def __init__(self, spec: RunSpec, rows: Sequence[Encoded], sizes: Mapping[str, int]) -> None:
        self.rows, self.seed = rows, spec.data_seed
        lengths = [e.length for e in rows]
        threshold = spec.length_threshold
        if threshold is not None and threshold.memory is not None:
            threshold = fitting.automatic(spec, rows, sizes)
        elif threshold is not None:
            threshold = threshold.resolve(lengths)
        self.assignment = assignment.assign(lengths, threshold)
        self._draws = {}
        for part, pool in (("zo", self.assignment.zo), ("fo", self.assignment.fo)):
            size = sizes.get(f"{part}_batch_size", 0)
            if size and not pool:
                side = "longer than" if part == "zo" else "of at most"
                raise UserError(
                    f"task {spec.task}: no training example is {side} length_threshold = {threshold} tokens "
                    f"(lengths {min(lengths)} to {max(lengths)}), so {part}_batch_size = {size} cannot be "
                    f"drawn: move the threshold or set {part}_batch_size=0"
                )
            if size:
                self._draws[part] = (pool, min(size, len(pool)))

    def at(self, step: int) -> dict[str, list[int]]:
        """Indices of the rows of each part ("zo", "fo") at a step.

        A function of (data seed, step, pool): nothing to save, and equal for all methods.
        """
        return {
            part: Random(f"{self.seed} {step} {part}").sample(*draw) for part, draw in self._draws.items()
        }

    def of(self, indices: Mapping[str, Sequence[int]]) -> dict[str, list[Encoded]]:
        """The rows at indices."""
        return {part: [self.rows[i] for i in chosen] for part, chosen in indices.items()}

    def heavier(
        self, heaviest: Mapping[str, list[int]], indices: Mapping[str, list[int]]
    ) -> dict[str, list[int]]:
        """Of two sets of batches, the heavier one of each part: that with more tokens, padding included."""

        def weight(chosen: Sequence[int]) -> int:
            return len(chosen) * max((self.rows[i].length for i in chosen), default=0)

        return {
            part: chosen if weight(chosen) > weight(heaviest.get(part, [])) else heaviest[part]
            for part, chosen in indices.items()
        }
