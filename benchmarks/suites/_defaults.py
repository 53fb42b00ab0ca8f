"""Defaults for single runs of the built-in models, taken from suite `quick`."""

from collections.abc import Mapping
from typing import Any

from benchmarks import models
from benchmarks.config.methods import settings_of
from benchmarks.config.names import BUDGETS, ZERO_SHOT
from benchmarks.config.spec import RunSpec, from_dict
from benchmarks.errors import UserError
from benchmarks.suites import quick


def with_defaults(values: Mapping[str, Any]) -> RunSpec:
    """Build the spec of one run, with missing values from suite `quick` if the model is built in.

    Raises:
        UserError: `from_dict` rejects the values; or the learning rate or the budget is missing, and `quick`
            does not have the model.
    """
    values = dict(values)
    given = [name for name in BUDGETS if name in values]
    if "lr" in values and given:
        return from_dict(values)
    known = quick.defaults(values.get("method"), values.get("model"))
    if known is None and values.get("method") != ZERO_SHOT:
        missing = "lr" if "lr" not in values else f"a budget ({', '.join(BUDGETS)})"
        method = values.get("method")
        settings_of(method)
        models.check(values.get("model", ""), values.get("trust_remote_code", False))
        raise UserError(
            f"{method} on {values.get('model')} needs {missing}: pass --lr and a budget such as --steps"
        )
    # The shots determine the numbers of training and validation rows.
    determined = ("train_rows", "validation_rows") if values.get("shots") is not None else ()
    for key, value in (known or {}).items():
        if (key not in BUDGETS or not given) and key not in determined:
            values.setdefault(key, value)
    return from_dict(values)
