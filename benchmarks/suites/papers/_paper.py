"""What a suite takes from its paper and what is our choice, each number once; and the runs that follow."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from benchmarks.config.names import ZERO_SHOT
from benchmarks.config.spec import RunSpec, from_dict

# Seen in the paper or its released code; follows from that by arithmetic; recalled, confirmed by no source
# at hand: a starting point, never to be printed as the paper's; our own choice.
TAGS = ("V", "D", "R", "ours")
EVERY = "all"
# In place of methods: the setting is about the whole suite.
SUITE: tuple[str, ...] = ()
# Settings of every suite: its methods in their order, and the hardware that it needs.
OF_SUITES = ("methods", "hardware")


@dataclass(frozen=True)
class Setting:
    """One thing that defines a suite's runs.

    Attributes:
        methods: the methods of the suite that have it, one or several; "all" for every one; or `SUITE`.
        field: a field of RunSpec or a setting of the method; with `SUITE` one of `OF_SUITES`.
        value: of the field; a tuple is a grid, all of whose values are run.
        tag: "V", "D", "R" or "ours": see `TAGS`.
        source: where it is from, or why we chose it.
        when: holds only where fields of "all" have these values (each a tuple), in place of a setting
            without conditions.
    """

    methods: str | tuple[str, ...]
    field: str
    value: Any
    tag: str
    source: str
    when: Mapping[str, tuple] = dataclasses.field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The methods as a tuple."""
        return (self.methods,) if isinstance(self.methods, str) else self.methods


@dataclass(frozen=True)
class Paper:
    """The experiment that a suite repeats.

    A method of the suite is a method by its name, or a variant whose setting "method" names it ("mezo-lora").
    Its runs are the product of the grids of "all", and within each of these the product of its own.

    Attributes:
        paper: its name, as in `results/published.csv`.
        arxiv: its number there.
        shows: the table or figure, or the question, that the suite answers.
        model: as `results/published.csv` prints it, {shots} being those of a run; None where it has no rows.
        settings: everything that defines the runs.
    """

    paper: str
    arxiv: str
    shows: str
    model: str | None
    settings: tuple[Setting, ...]

    def __post_init__(self) -> None:
        seen = []
        for one in self.settings:
            if one.tag not in TAGS:
                raise ValueError(f"{one.field}: tag {one.tag!r} is none of {', '.join(TAGS)}")
            for method in one.names or (None,):
                key = (method, one.field, one.when)
                if key in seen:
                    raise ValueError(f"{one.field} of {method or 'the suite'} is stated twice")
                seen.append(key)
        methods = {method for one in self.settings for method in one.names}
        if unknown := methods - {EVERY, *self["methods"]}:
            raise ValueError(f"stated of no method: {', '.join(sorted(unknown))}")

    def __getitem__(self, field: str) -> Any:
        """The value of a setting of the whole suite."""
        return next(one.value for one in self.settings if not one.names and one.field == field)

    def printed(self, shots: int | None = None) -> str | None:
        """The model as `results/published.csv` prints it."""
        return None if self.model is None else self.model.format(shots=shots or 0)

    def values(self, method: str, where: Mapping[str, Any]) -> dict[str, Any]:
        """What is stated of a method, a setting with conditions in place of one without."""
        found: dict[str, Any] = {}
        for one in sorted(self.settings, key=lambda one: bool(one.when)):
            if method in one.names and all(where.get(key) in allowed for key, allowed in one.when.items()):
                found[one.field] = one.value
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
        for method in paper["methods"]:
            for own in _grid(paper.values(method, where)):
                values = derive({"method": method} | where | own)
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
