"""The runs of a comparison, after its trials."""

from collections.abc import Mapping
from typing import Any

from benchmarks.compare import trials
from benchmarks.config.names import BUDGETS, ZERO_SHOT
from benchmarks.config.spec import RunSpec, from_dict

# Fields that have no effect on a run without steps.
TRAINING = (*BUDGETS, "schedule", "evaluations", "gradient_checkpointing", "trainable", "train_on", "dropout")


def specs(
    trials_suite: str, common: Mapping[str, Any], methods: Mapping[str, Mapping[str, Any]], seeds: int
) -> list[RunSpec]:
    """Return zero-shot, and each method at its selected learning rate, for each seed.

    The seed also draws the rows and the batches, so methods are compared in pairs. The runs of different
    methods are interleaved, so that changes in the machine's speed affect them equally. Zero-shot needs
    prompts, so it is left out with a new classification head.

    Args:
        trials_suite: name of the suite of trials.
        common: fields of every run.
        methods: the fields and settings of each method's runs, by method.
        seeds: number of seeds.

    Raises:
        UserError: see `benchmarks.compare.trials.chosen`.
    """
    return at(trials.chosen(trials_suite), common, methods, seeds)


def at(
    rates: Mapping[str, float],
    common: Mapping[str, Any],
    methods: Mapping[str, Mapping[str, Any]],
    seeds: int,
) -> list[RunSpec]:
    """Return the runs of the methods that have a learning rate in `rates`; see `specs`."""
    found = []
    for seed in range(seeds):
        where = dict(common) | {"seed": seed, "data_seed": seed}
        if common.get("head", "lm") == "lm":
            kept = {key: value for key, value in where.items() if key not in TRAINING}
            found.append(from_dict(kept | {"method": ZERO_SHOT}))
        for method, values in methods.items():
            if method in rates:
                found.append(from_dict(where | dict(values) | {"method": method, "lr": rates[method]}))
    return found
