"""Suites: one file per table or figure, each with a function `specs() -> list[RunSpec]`.

A suite that repeats a paper's experiment is in `papers/`, defines `PAPER`, and has a small variant,
`<name>-tiny`.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from benchmarks import registry
from benchmarks.errors import UserError

if TYPE_CHECKING:
    from benchmarks.config.spec import RunSpec
    from benchmarks.suites.papers._paper import Paper


def load(name: str) -> "list[RunSpec]":
    """Return a suite's runs.

    Raises:
        UserError: the suite does not exist, its file raises an error, or it returns no runs or other objects.
    """
    from benchmarks.config.spec import RunSpec

    module = registry.module("suite", name)
    with registry.user_code_errors(registry.path("suite", name)):
        returned = module.specs()
        if not isinstance(returned, Iterable):
            raise UserError(f"specs() returned {returned!r:.40}, not a list of runs")
        specs = list(returned)
    if not specs:
        raise UserError(f"suite {name}: specs() returned no runs")
    for index, spec in enumerate(specs):
        if not isinstance(spec, RunSpec):
            raise UserError(
                f"suite {name}: specs()[{index}] is a {type(spec).__name__}, not a RunSpec; "
                "build it with benchmarks.from_dict"
            )
    if registry.is_tiny(name):
        from benchmarks.suites._tiny import shrink

        return list({spec.id: spec for spec in map(shrink, specs)}.values())
    return specs


def paper(name: str) -> "Paper | None":
    """Return the paper that a suite repeats, or None if the suite is ours."""
    return getattr(registry.module("suite", name), "PAPER", None)


def wandb(name: str) -> str | None:
    """Return a suite's default mode of wandb, or None; the runs of small variants are too short for wandb."""
    return "disabled" if registry.is_tiny(name) else getattr(registry.module("suite", name), "WANDB", None)


def data(name: str) -> str | None:
    """Return a suite's default source of data: "builtin", "hub", or None if any source will do.

    A suite with "builtin" accepts no other source. The papers' suites use published data from the hub or from
    a given folder.
    """
    if registry.is_tiny(name):
        return "builtin"
    module = registry.module("suite", name)
    return getattr(module, "DATA", "hub" if hasattr(module, "PAPER") else None)


def rows_name(suite: str, budget: str | None) -> str:
    """Return the folder name for a suite's rows; runs with a different budget have a separate folder.

    >>> rows_name("quick", None), rows_name("quick", "forward-equivalents=64000")
    ('quick', 'quick.forward-equivalents-64000')
    """
    return suite if budget is None else f"{suite}.{budget.replace('=', '-')}"
