"""Suites: one file a table or figure, each with `specs() -> list[RunSpec]`."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from benchmarks import registry
from benchmarks.errors import UserError

if TYPE_CHECKING:
    from benchmarks.spec import RunSpec


def load(name: str) -> "list[RunSpec]":
    """A suite's runs.

    Raises:
        UserError: no such suite; its file breaks, makes no runs, or something else than runs.
    """
    from benchmarks.spec import RunSpec

    module = registry.module("suite", name)
    with registry.told(registry.path("suite", name)):
        made = module.specs()
        if not isinstance(made, Iterable):
            raise UserError(f"specs() gives {made!r:.40}, not a list of runs")
        specs = list(made)
    if not specs:
        raise UserError(f"suite {name}: specs() makes no runs")
    for place, spec in enumerate(specs):
        if not isinstance(spec, RunSpec):
            raise UserError(
                f"suite {name}: specs()[{place}] is a {type(spec).__name__}, not a RunSpec: "
                "make it with benchmarks.spec.from_dict"
            )
    return specs
