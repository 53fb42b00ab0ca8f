"""Plans that fit on a GPU: for each method the largest batch, or L_T with K0 and K1, and the peak memory."""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from addax import units
from addax.assignment import assign
from addax.memory import Prediction
from benchmarks.config import labels
from benchmarks.config.methods import build_optimizer, method_class, settings_of
from benchmarks.config.spec import RunSpec, from_dict
from benchmarks.data.tokenize import Encoded
from benchmarks.errors import UserError
from benchmarks.memory import search as memory_search

# The largest batch size to try.
LARGEST = 128
BOTH = ("zo_batch_size", "fo_batch_size")
# Fields that a spec requires but that do not affect a prediction.
ANY = {"lr": 1e-6, "steps": 1}


@dataclass(frozen=True)
class Plan:
    """One way to run a method within a budget.

    Attributes:
        method, label: the method, and its name in tables.
        gradient_checkpointing: whether the first-order part uses it.
        chosen: what the planner chose: "batch" (the largest), "all" (for a method with both batches: L_T for
            the most examples in D1, then the largest K1, then the largest K0), or "length_threshold" (only
            L_T, at the spec's batch sizes, as in a run with length_threshold="auto:...").
        fits: whether the peak is within the budget.
        sizes: the batch sizes; the smallest possible ones if nothing fits.
        at_limit: names of the sizes that more memory would not increase, because they equal the limit of the
            search or the number of examples.
        length_threshold: L_T in tokens; None if it is not needed, or if the method has none.
        d0, d1: number of examples in D0 and D1; None for a method with one kind of batch.
        passes: cost of a step, in forward passes over a batch.
        peak: peak memory of the heaviest step.
        headroom: unused bytes of the budget; negative if the plan does not fit.
    """

    method: str
    label: str
    gradient_checkpointing: bool
    chosen: str
    fits: bool
    sizes: Mapping[str, int]
    at_limit: tuple[str, ...]
    length_threshold: int | None
    d0: int | None
    d1: int | None
    passes: float
    peak: Prediction
    headroom: int

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        plain = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "peak"}
        return plain | {
            "sizes": dict(self.sizes),
            "peak_bytes": self.peak.peak_bytes,
            "split": dict(self.peak.split),
            "phase": list(self.peak.phase),
        }


def plans(
    methods: Sequence[str],
    given: Mapping[str, Any],
    rows: Sequence[Encoded],
    usable: int,
    say: Callable[[str], None],
) -> list[Plan]:
    """Plan every method with and without gradient checkpointing; those that fit come first, cheapest first.

    Args:
        methods: names of methods.
        given: fields of the spec and settings; each method gets the settings that it has.
        rows: the examples that the runs train on.
        usable: the budget without the reserve, in bytes.
        say: called with the label of each run before it is planned.

    Raises:
        UserError: no method has one of the settings, or the model's parameters alone exceed the budget.
    """
    found = []
    for spec in specs(methods, given):
        say(labels.label(spec))
        found += _plans(spec, rows, usable)
    return sorted(found, key=lambda plan: (not plan.fits, plan.passes))


def specs(methods: Sequence[str], given: Mapping[str, Any]) -> Iterator[RunSpec]:
    """Yield the spec of each method, both with and without gradient checkpointing if it back-propagates."""
    fields = {f.name for f in dataclasses.fields(RunSpec)}
    known = fields.union(*map(settings_of, methods))
    for name in methods:
        # The first method rejects a setting that no method has, and suggests the nearest one.
        chosen = {k: v for k, v in given.items() if k in fields or k in settings_of(name) or k not in known}
        for checkpointing in (False, True) if "fo_loss" in method_class(name).closures else (False,):
            yield from_dict(ANY | chosen | {"method": name, "gradient_checkpointing": checkpointing})


def _plans(spec: RunSpec, rows: Sequence[Encoded], usable: int) -> Iterator[Plan]:
    search = _Search(spec, rows, usable)
    if all(spec.settings.get(name) for name in BOTH):
        yield search.best_assignment()
        yield search.at_own_sizes()
    else:
        yield search.largest_batch()


class _Search:
    """A search for the plans of one spec."""

    def __init__(self, spec: RunSpec, rows: Sequence[Encoded], usable: int) -> None:
        self.spec, self.rows, self.usable = spec, rows, usable
        self.lengths = [row.length for row in rows]
        self.passes = passes(spec, len(rows))
        self.known: dict[tuple, Prediction] = {}

    def predict(self, sizes: Mapping[str, int], threshold: int | None = None) -> Prediction:
        """Return the peak at these batch sizes and this L_T. Each combination is predicted only once."""
        key = (*sorted(sizes.items()), threshold)
        if key not in self.known:
            self.known[key] = self._predict(sizes, threshold)
        return self.known[key]

    def _predict(self, sizes: Mapping[str, int], threshold: int | None) -> Prediction:
        sizes = dict(sizes) | {"eval_batch_size": self.spec.eval_batch_size}
        found = memory_search.peak_of(self.spec, self.rows, sizes, threshold, "cuda")
        if found.split["parameters"] > self.usable:
            alone, reserve = found.split["parameters"], units.reserve("cuda")
            text = units.format_bytes
            raise UserError(
                f"{self.spec.model}: its parameters alone take {text(alone)} in {self.spec.dtype}, "
                f"and {text(reserve)} is reserved; use more than {text(alone + reserve)}, "
                "a smaller model, or a 16-bit dtype"
            )
        return found

    def largest(self, name: str, sizes: Mapping[str, int], threshold: int | None, pool: int) -> int:
        """Return the largest value of one size, given the others; 0 if none fits."""
        return memory_search.largest(
            lambda size: self.predict({**sizes, name: size}, threshold).peak_bytes,
            self.usable,
            min(LARGEST, pool),
        )

    def largest_batch(self) -> Plan:
        """Plan a method that has one kind of batch, or whose settings leave only one kind."""
        (name,) = [name for name in BOTH if self.spec.settings.get(name)]
        size = self.largest(name, {}, None, len(self.rows))
        limits = (name,) if size == min(LARGEST, len(self.rows)) else ()
        return self.plan("batch", {name: max(size, 1)}, limits, None)

    def best_assignment(self) -> Plan:
        """Plan the largest L_T at batch sizes of 1, then the largest K1 at that L_T, then the largest K0."""
        sizes = dict.fromkeys(BOTH, 1)
        try:
            threshold = self.threshold(sizes)
        except ValueError:
            return self.plan("all", sizes, (), min(self.lengths))
        pools = dict(zip(BOTH, self.pools(threshold), strict=True))
        limits = []
        for name in reversed(BOTH):
            size = self.largest(name, sizes, threshold, pools[name])
            sizes[name] = max(size, 1)
            if size == min(LARGEST, pools[name]):
                limits.append(name)
        return self.plan("all", sizes, tuple(limits), threshold)

    def at_own_sizes(self) -> Plan:
        """Plan the largest L_T at the spec's batch sizes."""
        sizes = {name: self.spec.settings[name] for name in BOTH}
        try:
            threshold = self.threshold(sizes)
        except ValueError:
            threshold = min(self.lengths)
        return self.plan("length_threshold", sizes, (), threshold)

    def threshold(self, sizes: Mapping[str, int]) -> int | None:
        """Return the largest L_T that fits with these batch sizes; raise `ValueError` if none fits.

        A run on short examples only has no L_T.
        """
        if self.spec.train_on == "short":
            return None
        return memory_search.largest_threshold(
            lambda length: self.predict(sizes, length).peak_bytes, self.rows, self.usable
        )

    def pools(self, threshold: int | None) -> tuple[int, int]:
        """Return the numbers of examples in D0 and D1."""
        part = assign(self.lengths, threshold)
        return len(part.zo), len(part.fo)

    def plan(
        self, chosen: str, sizes: Mapping[str, int], limits: tuple[str, ...], threshold: int | None
    ) -> Plan:
        """Build the plan for these batch sizes and this L_T."""
        if threshold == max(self.lengths):
            threshold = None
        peak = self.predict(sizes, threshold)
        d0, d1 = self.pools(threshold) if chosen != "batch" else (None, None)
        return Plan(
            method=self.spec.method,
            label=labels.method_label(self.spec, threshold),
            gradient_checkpointing=self.spec.gradient_checkpointing,
            chosen=chosen,
            fits=peak.peak_bytes <= self.usable,
            sizes=dict(sizes),
            at_limit=limits,
            length_threshold=threshold,
            d0=d0,
            d1=d1,
            passes=self.passes,
            peak=peak,
            headroom=self.usable - peak.peak_bytes,
        )


def passes(spec: RunSpec, rows: int) -> float:
    """Return the mean cost of a step, in forward passes over a batch.

    A backward pass counts as two, or as three with gradient checkpointing, which repeats the forward. A loss
    over all rows counts as one pass per eval_batch_size rows. The costs are counted rather than tabulated:
    the method runs on a one-weight model until its cycle of steps repeats.
    """
    model = nn.Linear(1, 1)
    optimizer = build_optimizer(spec, model)
    costs = {"zo_loss": 1, "fo_loss": 1, "full_loss": math.ceil(rows / spec.eval_batch_size)}
    work = steps = 0

    def closure(name: str) -> Callable[[], torch.Tensor]:
        def loss() -> torch.Tensor:
            nonlocal work
            work += costs[name]
            return model(torch.ones(1, 1)).sum()

        return loss

    first = optimizer.next_closures()
    while not steps or optimizer.next_closures() != first:
        stats = optimizer.step(**{name: closure(name) for name in optimizer.next_closures()})
        work += stats.backwards * (3 if spec.gradient_checkpointing else 2)
        steps += 1
    return work / steps
