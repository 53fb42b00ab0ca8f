"""What a method needs to fit in a comparison's memory: L_T, gradient checkpointing, or smaller batches.

The rule takes the first of these that fits: the given batch sizes; the same with gradient checkpointing; and,
with checkpointing, the largest batches up to the given sizes. A method with two batches takes the largest L_T
that fits, and no L_T if it fits without one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from addax import units
from benchmarks.config.methods import method_class
from benchmarks.config.spec import RunSpec
from benchmarks.data.tokenize import Encoded
from benchmarks.errors import UserError
from benchmarks.memory import search

SIZES = ("zo_batch_size", "fo_batch_size")


@dataclass(frozen=True)
class Fit:
    """One method of a comparison.

    Attributes:
        method: name of the method.
        values: the fields and settings of its runs that the rule chose; empty if it fits as it is.
        peak_bytes: predicted peak of its heaviest step; None without a memory limit.
        fits: whether the peak is within the limit. A method that does not fit is left out.
    """

    method: str
    values: Mapping[str, Any]
    peak_bytes: int | None = None
    fits: bool = True


def usable(memory: str, device: str) -> int:
    """Return the bytes that a run may use: the limit without what is reserved on a GPU.

    Raises:
        UserError: the limit is not an amount of memory, nothing is left of it, or the model is to be spread
            over several devices.
    """
    if device == "auto":
        raise UserError("--memory is the limit of one device: use it with --device cpu, cuda, or cuda:N")
    try:
        size = units.parse_bytes(memory, "--memory")
    except ValueError as error:
        raise UserError(str(error)) from None
    reserve = units.reserve(device)
    if size <= reserve:
        raise UserError(
            f"--memory {memory}: {units.format_bytes(reserve)} is reserved for the CUDA context and "
            "fragmentation; use more memory"
        )
    return size - reserve


def fit(spec: RunSpec, draws: Sequence[Sequence[Encoded]], limit: int) -> Fit:
    """Return how a method fits every draw of the training rows.

    Args:
        spec: a run of the method, with the given batch sizes. If it has an L_T or gradient checkpointing,
            these stay.
        draws: the training rows of each seed.
        limit: bytes that the run may use.
    """
    backward = "fo_loss" in method_class(spec.method).closures and spec.settings["fo_batch_size"] > 0
    given = {name: spec.settings[name] for name in SIZES if spec.settings.get(name)}
    variants = [spec]
    if backward and not spec.gradient_checkpointing:
        variants.append(spec.replace(gradient_checkpointing=True))
    for variant in variants:
        found = _Search(variant, draws, limit).at(given)
        if found is not None:
            return _fit(spec, variant, found, given)
    last = _Search(variants[-1], draws, limit)
    smaller = last.largest(given)
    if smaller is not None:
        return _fit(spec, variants[-1], smaller, given)
    least = last.peak(dict.fromkeys(given, 1), last.least_threshold())
    return Fit(spec.method, {}, least, fits=False)


@dataclass(frozen=True)
class _Found:
    sizes: Mapping[str, int]
    threshold: int | None
    peak: int


def _fit(spec: RunSpec, variant: RunSpec, found: _Found, given: Mapping[str, int]) -> Fit:
    values = {name: size for name, size in found.sizes.items() if size != given[name]}
    if variant.gradient_checkpointing != spec.gradient_checkpointing:
        values["gradient_checkpointing"] = True
    if len(given) > 1 and spec.length_threshold is None and found.threshold is not None:
        values["length_threshold"] = found.threshold
    return Fit(spec.method, values, found.peak)


class _Search:
    """The search for one variant of a run."""

    def __init__(self, spec: RunSpec, draws: Sequence[Sequence[Encoded]], limit: int) -> None:
        self.spec, self.limit = spec, limit
        self.rows = [row for rows in draws for row in rows]
        # L_T must leave a long row in the draw of every seed.
        self.longest = min(max(row.length for row in rows) for rows in draws)
        self.known: dict[tuple, int] = {}

    def peak(self, sizes: Mapping[str, int], threshold: int | None) -> int:
        """Return the predicted peak. Each combination is predicted once."""
        key = (*sorted(sizes.items()), threshold)
        if key not in self.known:
            every = {**sizes, "eval_batch_size": self.spec.eval_batch_size}
            device = self.spec.device.partition(":")[0]
            found = search.peak_of(self.spec, self.rows, every, threshold, device)
            self.known[key] = found.peak_bytes
        return self.known[key]

    def at(self, sizes: Mapping[str, int]) -> _Found | None:
        """Return how the run fits with these batch sizes; None if it does not."""
        try:
            threshold = self._threshold(sizes)
        except ValueError:
            return None
        peak = self.peak(sizes, threshold)
        return _Found(sizes, threshold, peak) if peak <= self.limit else None

    def largest(self, given: Mapping[str, int]) -> _Found | None:
        """Return the largest batches up to the given sizes, K1 first; None if not even single rows fit."""
        ones = self.at(dict.fromkeys(given, 1))
        if ones is None:
            return None
        sizes = dict(ones.sizes)
        for name in sorted(given, key=("fo_batch_size", "zo_batch_size").index):
            sizes[name] = search.largest(
                lambda size, name=name: self.peak({**sizes, name: size}, ones.threshold),
                self.limit,
                given[name],
            )
        return _Found(sizes, ones.threshold, self.peak(sizes, ones.threshold))

    def least_threshold(self) -> int | None:
        """Return the L_T that needs the least memory: the length of the shortest row, for two batches."""
        both = all(self.spec.settings.get(name) for name in SIZES)
        return min(row.length for row in self.rows) if both else None

    def _threshold(self, sizes: Mapping[str, int]) -> int | None:
        if len(sizes) < 2 or self.spec.train_on == "short":
            return None
        if self.spec.length_threshold is not None:
            return self.spec.length_threshold.resolve([row.length for row in self.rows])
        found = search.largest_threshold(lambda length: self.peak(sizes, length), self.rows, self.limit)
        if found is None or found < self.longest:
            return found
        below = [row.length for row in self.rows if row.length < self.longest]
        return max(below, default=found)
