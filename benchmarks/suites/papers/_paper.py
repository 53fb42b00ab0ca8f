"""The settings of a paper's suite, each with its provenance, and the runs that they define."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from benchmarks.config.names import ZERO_SHOT
from benchmarks.config.spec import RunSpec, from_dict

# V: verified in the paper or its released code. D: derived from such values by arithmetic. R: from memory,
# not verified in any source; a starting point that must never be printed as the paper's value. ours: our
# choice.
TAGS = ("V", "D", "R", "ours")
EVERY = "all"
# This value of `methods` marks a setting of the suite as a whole.
SUITE: tuple[str, ...] = ()
# Every suite has these settings: its methods, in order, and the hardware that it needs.
OF_SUITES = ("methods", "hardware")


@dataclass(frozen=True)
class Setting:
    """One setting of a suite's runs, with its provenance.

    Attributes:
        methods: the methods to which the setting applies: one name, several names, "all", or `SUITE`.
        field: a field of RunSpec or a setting of the method; for `SUITE`, one of `OF_SUITES`.
        value: the value of the field; a tuple is a grid, and the suite runs all of its values.
        tag: "V", "D", "R", or "ours"; see `TAGS`.
        source: the source of the value, or the reason for our choice.
        when: field of "all" -> allowed values. If present, the setting applies only to runs with these
            values, where it replaces the setting without conditions.
    """

    methods: str | tuple[str, ...]
    field: str
    value: Any
    tag: str
    source: str
    when: Mapping[str, tuple] = dataclasses.field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Return the methods as a tuple."""
        return (self.methods,) if isinstance(self.methods, str) else self.methods


@dataclass(frozen=True)
class Paper:
    """The experiment that a suite repeats.

    An entry of "methods" is either a method or a variant, such as "mezo-lora", whose setting "method" names
    the method. Its runs are the product of the grids of "all" and of the entry's grids.

    Attributes:
        paper: the paper's name, as in `results/published.csv`.
        arxiv: the paper's arXiv number.
        shows: the table, figure, or question that the suite reproduces.
        model: the model's name in `results/published.csv`, in which {shots} is replaced by a run's shots;
            None if the file has no rows for the model.
        settings: all settings that define the runs.
    """

    paper: str
    arxiv: str
    shows: str
    model: str | None
    settings: tuple[Setting, ...]

    def __post_init__(self) -> None:
        seen = []
        for setting in self.settings:
            if setting.tag not in TAGS:
                raise ValueError(f"{setting.field}: tag {setting.tag!r} is not one of {', '.join(TAGS)}")
            for method in setting.names or (None,):
                key = (method, setting.field, setting.when)
                if key in seen:
                    raise ValueError(f"{setting.field} of {method or 'the suite'} is set twice")
                seen.append(key)
        methods = {method for setting in self.settings for method in setting.names}
        if unknown := methods - {EVERY, *self["methods"]}:
            raise ValueError(
                f"settings for methods that the suite does not have: {', '.join(sorted(unknown))}"
            )

    def __getitem__(self, field: str) -> Any:
        """Return the value of a setting of the suite as a whole."""
        return next(s.value for s in self.settings if not s.names and s.field == field)

    def printed(self, shots: int | None = None) -> str | None:
        """Return the model's name in `results/published.csv`."""
        return None if self.model is None else self.model.format(shots=shots or 0)

    def values(self, method: str, where: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of a method's settings; a setting with conditions overrides one without.

        Args:
            method: an entry of "methods", or "all".
            where: the values of "all" that the conditions are checked against.
        """
        found: dict[str, Any] = {}
        for s in sorted(self.settings, key=lambda s: bool(s.when)):
            if method in s.names and all(where.get(key) in allowed for key, allowed in s.when.items()):
                found[s.field] = s.value
        return found


def runs(paper: Paper, derive: Callable[[dict[str, Any]], dict[str, Any]] = dict) -> list[RunSpec]:
    """Return all runs that a paper's settings define, without duplicates.

    The seed of a run also selects its rows.

    Args:
        paper: the experiment.
        derive: converts the settings of a run to fields and settings of a RunSpec, if these differ.
    """
    found = {}
    for where in _grid(paper.values(EVERY, {})):
        for method in paper["methods"]:
            for choice in _grid(paper.values(method, where)):
                values = derive({"method": method} | where | choice)
                if values["method"] == ZERO_SHOT:
                    # Zero-shot has no optimizer, so it takes no settings.
                    values = {k: v for k, v in values.items() if k in _FIELDS}
                spec = from_dict(values | {"data_seed": values["seed"]})
                found.setdefault(spec.id, spec)
    return list(found.values())


_FIELDS = {f.name for f in dataclasses.fields(RunSpec)} - {"settings"}


def _grid(values: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield every combination of one value from each tuple."""
    axes = [value if isinstance(value, tuple) else (value,) for value in values.values()]
    for choice in product(*axes):
        yield dict(zip(values, choice, strict=True))
