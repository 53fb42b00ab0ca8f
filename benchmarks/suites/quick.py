"""All six methods and zero-shot on the built-in tasks: nano-opt with three seeds, two more nano models.

The directions of zeroth-order methods are random signs, in which study `directions` finds no loss. Single
runs of the nano models and suites that only take settings from here have the default, normals.
"""

from typing import Any

from benchmarks.config import methods
from benchmarks.config.names import ZERO_SHOT
from benchmarks.config.spec import RunSpec, from_dict

# The nano models understand only the built-in language, so ADDAX_DATA is ignored.
DATA = "builtin"
WANDB = "disabled"
TASKS = ("sst2", "rte", "cb", "boolq", "wsc", "wic", "multirc", "record", "squad")
# A masked model cannot generate answers, so nano-roberta has RTE in place of SQuAD.
TASKS_OF = {
    "nano-opt": TASKS,
    "nano-llama": ("sst2", "boolq", "squad"),
    "nano-roberta": ("sst2", "rte", "boolq"),
}
MODELS = tuple(TASKS_OF)
SEEDS = {"nano-opt": (0, 1, 2), "nano-llama": (0,), "nano-roberta": (0,)}
# The learning rates are the best of the trials in `quick_grid`. Budgets and alpha were set by hand.
SETTINGS: dict[str, dict[str, Any]] = {
    "addax": {"lr": 6e-3, "alpha": 0.02, "steps": 60, "length_threshold": "q0.75"},
    "mezo": {"lr": 1e-3, "steps": 120},
    "ip-sgd": {"lr": 0.02, "steps": 60, "fo_batch_size": 4},
    "sgd": {"lr": 0.02, "steps": 60},
    "adam": {"lr": 1e-3, "steps": 60},
    # Every second step is a full-batch step, so fewer rows keep its run time close to that of the other
    # methods.
    "mezo-svrg": {"lr": 1e-3, "lr_ratio": 1.0, "steps": 40, "train_rows": 128},
}
DIRECTION = "rademacher"
ROWS = {"train_rows": 1000, "validation_rows": 100, "test_rows": 1000}
K0_TASK, K0_SWEEP, K1 = "squad", (0, 2, 4, 8, 16), 4


def defaults(method: str | None, model: str | None) -> dict | None:
    """Return this suite's settings of a method, with the default direction.

    Return None if the suite does not have the method or the model.
    """
    if model not in MODELS or method not in (ZERO_SHOT, *SETTINGS):
        return None
    return ROWS | SETTINGS.get(method, {})


def settings_of(method: str) -> dict[str, Any]:
    """Return the settings and the budget that this suite gives a method."""
    direction = {"direction": DIRECTION} if "direction" in methods.settings_of(method) else {}
    return SETTINGS.get(method, {}) | direction


def run_of(method: str, model: str, task: str, seed: int) -> dict[str, Any]:
    """Return the values of one run; the seed also draws the rows and the batches."""
    where = {"method": method, "model": model, "task": task, "seed": seed, "data_seed": seed}
    return where | ROWS | settings_of(method)


def specs() -> list[RunSpec]:
    """Return 231 runs of six methods and zero-shot, then Addax-WA and the K0 sweep on one task."""
    runs = [
        from_dict(run_of(method, model, task, seed))
        for model in MODELS
        for task in TASKS_OF[model]
        for method in (ZERO_SHOT, *SETTINGS)
        for seed in SEEDS[model]
    ]
    where = run_of("addax", "nano-opt", K0_TASK, 0) | {"length_threshold": None}
    runs.append(from_dict(where))
    for k0 in K0_SWEEP:
        # Without a zeroth-order batch, a direction has no effect.
        without = {"alpha": 0.0, "direction": "normal"} if k0 == 0 else {}
        runs.append(from_dict(where | {"zo_batch_size": k0, "fo_batch_size": K1} | without))
    return runs
