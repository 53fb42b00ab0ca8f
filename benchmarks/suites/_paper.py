"""What a suite takes from its paper and what is our choice, each number once; and the runs that follow."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from benchmarks.config.names import ZERO_SHOT
from benchmarks.config.spec import RunSpec, from_dict

# Seen in the paper or its released code; follows from that by arithmetic; recalled, confirmed by no source
# at hand: a starting point, never to be printed as the paper's; our own choice.
TAGS = ("V", "D", "R", "ours")
EVERY = "all"
# Statements on the whole suite.
TOP = ("methods", "hardware")


@dataclass(frozen=True)
class Stated:
    """One thing that defines a suite's runs.

    Attributes:
        what: "GROUP.FIELD": a field of RunSpec or a setting of the method, for a group of runs, several
            (separated by commas) or "all"; or "methods", the groups in their order; or "hardware".
        value: of the field; a tuple is a grid, all of whose values are run.
        tag: "V", "D", "R" or "ours": see `TAGS`.
        source: where it is from, or why we chose it.
        when: holds only where fields of "all" have these values (each a tuple), in place of a statement
            without.
    """

    what: str
    value: Any
    tag: str
    source: str
    when: Mapping[str, tuple] = field(default_factory=dict)

    @property
    def keys(self) -> list[tuple[str, str]]:
        """(group, field) of each thing it says."""
        groups, _, name = self.what.partition(".")
        return [(group, name) for group in groups.split(",")]


@dataclass(frozen=True)
class Paper:
    """The experiment that a suite repeats.

    A group of runs is a method, or says which ("mezo-lora.method"). Its runs are the product of the grids of
    "all", and within each of these the product of its own.

    Attributes:
        paper: its name, as in `results/published.csv`.
        arxiv: its number there.
        shows: the table or figure, or the question, that the suite answers.
        model: as `results/published.csv` prints it, {shots} being those of a run; None where it has no rows.
        stated: everything that defines the runs.
    """

    paper: str
    arxiv: str
    shows: str
    model: str | None
    stated: tuple[Stated, ...]

    def __post_init__(self) -> None:
        seen = []
        for one in self.stated:
            if one.tag not in TAGS:
                raise ValueError(f"{one.what}: tag {one.tag!r} is none of {', '.join(TAGS)}")
            for key in one.keys:
                if (key, one.when) in seen:
                    raise ValueError(f"{'.'.join(key)} is stated twice")
                seen.append((key, one.when))
        groups = {group for one in self.stated for group, name in one.keys if name}
        if unknown := groups - {EVERY, *self["methods"]}:
            raise ValueError(f"stated of no method: {', '.join(sorted(unknown))}")

    def __getitem__(self, what: str) -> Any:
        """The value of a statement without conditions."""
        return next(one.value for one in self.stated if one.what == what and not one.when)

    def printed(self, shots: int | None = None) -> str | None:
        """The model as `results/published.csv` prints it."""
        return None if self.model is None else self.model.format(shots=shots or 0)

    def values(self, group: str, where: Mapping[str, Any]) -> dict[str, Any]:
        """What is stated of a group, a statement with conditions in place of one without."""
        found: dict[str, Any] = {}
        for one in sorted(self.stated, key=lambda one: bool(one.when)):
            if all(where.get(key) in allowed for key, allowed in one.when.items()):
                found |= {name: one.value for owner, name in one.keys if owner == group and name}
        return found


def runs(paper: Paper, derive: Callable[[dict[str, Any]], dict[str, Any]] = dict) -> list[RunSpec]:
    """All runs that a paper's statements make, no run twice.

    Rows are drawn with the seed of the run.

    Args:
        paper: whose statements.
        derive: turns what is stated of a run into what a RunSpec takes, where these differ.
    """
    found = {}
    for where in _grid(paper.values(EVERY, {})):
        for group in paper["methods"]:
            for own in _grid(paper.values(group, where)):
                values = derive({"method": group} | where | own)
                if values["method"] == ZERO_SHOT:
                    # Before the first step there is nothing to set.
                    values = {k: v for k, v in values.items() if k in _FIELDS}
                spec = from_dict(values | {"data_seed": values["seed"]})
                found.setdefault(spec.id, spec)
    return list(found.values())


_FIELDS = {f.name for f in dataclasses.fields(RunSpec)} - {"settings"}


def _grid(values: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Every choice of one value from each tuple."""
    axes = [value if isinstance(value, tuple) else (value,) for value in values.values()]
    for choice in product(*axes):
        yield dict(zip(values, choice, strict=True))
