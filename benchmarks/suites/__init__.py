"""Suites: one file per table or figure, each with `specs() -> list[RunSpec]`.

A suite of a paper's experiment is in `papers/`, binds `PAPER`, and has a small variant, `<name>-tiny`.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from benchmarks import registry
from benchmarks.errors import UserError

if TYPE_CHECKING:
    from benchmarks.config.spec import RunSpec
    from benchmarks.suites.papers._paper import Paper


def load(name: str) -> "list[RunSpec]":
    """A suite's runs.

    Raises:
        UserError: no such suite; its file breaks, makes no runs, or something else than runs.
    """
    from benchmarks.config.spec import RunSpec

    module = registry.module("suite", name)
    with registry.user_code_errors(registry.path("suite", name)):
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
                "make it with benchmarks.from_dict"
            )
    if registry.is_tiny(name):
        from benchmarks.suites._tiny import shrink

        return list({spec.id: spec for spec in map(shrink, specs)}.values())
    return specs


def paper(name: str) -> "Paper | None":
    """What a suite says of its paper; None for a suite of our own."""
    return getattr(registry.module("suite", name), "PAPER", None)


def data(name: str) -> str | None:
    """Where a suite's rows come from unless said otherwise: "builtin" alone, "hub", or None for no matter.

    The papers' suites are on published rows: those of the hub, or of a folder that is given.
    """
    if registry.is_tiny(name):
        return "builtin"
    module = registry.module("suite", name)
    return getattr(module, "DATA", "hub" if hasattr(module, "PAPER") else None)


def rows_name(suite: str, budget: str | None) -> str:
    """Return the folder of a suite's rows; runs of another budget than the suite's have their own.

    >>> rows_name("quick", None), rows_name("quick", "forward-equivalents=64000")
    ('quick', 'quick.forward-equivalents-64000')
    """
    return suite if budget is None else f"{suite}.{budget.replace('=', '-')}"
