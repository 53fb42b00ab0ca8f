"""The specs of a sweep: those of a suite, changed and filtered by the command line."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from benchmarks import suites
from benchmarks.config import labels
from benchmarks.config.names import BUDGETS, ZERO_SHOT
from benchmarks.config.spec import RunSpec
from benchmarks.errors import UserError, unknown

FILTERS = ("method", "model", "task", "seed", "label")


def specs_of(
    suite: str,
    changes: Mapping[str, object],
    only: Mapping[str, Sequence[str]],
    defaults: Mapping[str, object] = MappingProxyType({}),
) -> list[RunSpec]:
    """Return a suite's specs after changing and filtering them.

    Args:
        suite: name of the suite.
        changes: fields to change in every spec, such as data and device; zero-shot runs have no budget.
        only: filters, from the name of a filter to the values to keep.
        defaults: fields to change in the specs that do not set them.

    Raises:
        UserError: the suite, a filter, or a value is unknown, or no spec is left.
    """
    specs = [_changed(spec, changes, defaults) for spec in suites.load(suite)]
    for key, values in only.items():
        if key not in FILTERS:
            raise unknown("filter", key, FILTERS)
        known = {_filter_value(spec, key) for spec in specs}
        for value in values:
            if value not in known:
                raise unknown(f"{key} in suite {suite}", value, known)
        specs = [spec for spec in specs if _filter_value(spec, key) in values]
        if not specs:
            raise UserError(
                f"no run of suite {suite} matches --only {key}={','.join(values)} and the filters before it"
            )
    return specs


def _changed(spec: RunSpec, changes: Mapping[str, object], defaults: Mapping[str, object]) -> RunSpec:
    values = {key: value for key, value in defaults.items() if key not in spec.given} | dict(changes)
    if spec.method == ZERO_SHOT:
        values = {key: value for key, value in values.items() if key not in BUDGETS}
    return spec.replace(**values) if values else spec


def _filter_value(spec: RunSpec, key: str) -> str:
    return labels.label(spec) if key == "label" else str(getattr(spec, key))


def budget(text: str) -> dict[str, float | None]:
    """Return the fields of a spec that `--budget NAME=AMOUNT` sets; zero-shot runs have no budget.

    >>> budget("forward-equivalents=64000")
    {'steps': None, 'seconds': None, 'examples': None, 'forward_equivalents': 64000}

    Raises:
        UserError: the budget is unknown, or the amount is not valid.
    """
    name, equals, amount = text.partition("=")
    known = [field.replace("_", "-") for field in BUDGETS]
    if not equals or not amount:
        raise UserError(f"--budget must be NAME=AMOUNT (such as steps=1000), not {text!r}")
    if name not in known:
        raise unknown("budget", name, known)
    try:
        value = float(amount) if name == "seconds" else int(amount)
    except ValueError:
        number = "a number" if name == "seconds" else "a whole number"
        raise UserError(f"--budget {name} must be {number}, not {amount!r}") from None
    if not 0 < value < float("inf"):
        raise UserError(f"--budget {name} must be positive, not {amount}")
    return dict.fromkeys(BUDGETS) | {name.replace("-", "_"): value}
