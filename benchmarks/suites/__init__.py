"""Suites: one file per table or figure, each with a function `specs() -> list[RunSpec]`.

A suite that repeats a paper's experiment is in `papers/`, defines `PAPER`, and has a small variant,
`<name>-tiny`.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from benchmarks import registry
from benchmarks.config.names import WANDB_MODES
from benchmarks.errors import UserError, unknown

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


def data(name: str) -> str | None:
    """Return a suite's source of data, `DATA`: "builtin", "hub", a folder, or None if each run has its own.

    A suite with "builtin" accepts no other source. The papers' suites use published data from the hub or from
    a given folder.

    Raises:
        UserError: the value is not a text.
    """
    if registry.is_tiny(name):
        return "builtin"
    source = _constant(name, "DATA", (str,), "builtin, hub, a folder, or a file")
    return source or ("hub" if paper(name) else None)


def jobs(name: str) -> int | None:
    """Return a suite's number of simultaneous runs, `JOBS`; None if it depends on the machine.

    Raises:
        UserError: the value is not a positive whole number.
    """
    number = _constant(name, "JOBS", (int,), "a whole number of at least 1")
    if number is not None and (number is True or number < 1):
        raise UserError(f"{registry.path('suite', name)}: JOBS must be at least 1, not {number}")
    return number


def wandb(name: str) -> str | None:
    """Return a suite's default mode of Weights & Biases, `WANDB`; None if it sets none.

    The runs of small variants are too short for wandb.

    Raises:
        UserError: the mode is unknown.
    """
    if registry.is_tiny(name):
        return "disabled"
    mode = _constant(name, "WANDB", (str,), f"one of {', '.join(WANDB_MODES)}")
    if mode is not None and mode not in WANDB_MODES:
        raise UserError(f"{registry.path('suite', name)}: {unknown('WANDB', mode, WANDB_MODES)}")
    return mode


def _constant(suite: str, name: str, kinds: tuple[type, ...], expected: str) -> Any:
    """Return the value that a suite's file binds to a name; None if it does not bind it."""
    value = getattr(registry.module("suite", suite), name, None)
    if value is not None and not isinstance(value, kinds):
        raise UserError(f"{registry.path('suite', suite)}: {name} must be {expected}, not {value!r:.40}")
    return value


def rows_name(suite: str, budget: str | None) -> str:
    """Return the folder name for a suite's rows; runs with a different budget have a separate folder.

    >>> rows_name("quick", None), rows_name("quick", "forward-equivalents=64000")
    ('quick', 'quick.forward-equivalents-64000')
    """
    return suite if budget is None else f"{suite}.{budget.replace('=', '-')}"
