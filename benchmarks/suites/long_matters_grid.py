"""Learning-rate trials for `long-matters`: rates a factor of 3 apart on its six tasks, seed 100."""

from typing import Any

from benchmarks.config.spec import RunSpec, from_dict
from benchmarks.suites.quick import DATA, WANDB
from benchmarks.tasks._difficulty import LONG_ABOVE

__all__ = ["DATA", "WANDB", "specs"]

MODEL, SEED = "nano-opt", 100
# Each task has two versions. In the second one, half of the rows are long, and only long rows teach how to
# answer long rows.
TASKS = ("boolq", "multirc", "squad", "boolq-long", "multirc-long", "squad-long")
# 1e-3 is the default. D0 holds about half of the training rows of the second versions.
ALPHAS = (1e-3, 1e-2, 3e-2, 1e-1, 3e-1)
K0, K1 = 6, 4
# In forward equivalents: 180 steps of MeZO, 240 of Addax, 360 of IP-SGD with checkpointing, 480 of D1 only.
BUDGET = 5760
ROWS = {"train_rows": 1000, "validation_rows": 300, "test_rows": 500, "evaluations": 4}
FIRST_ORDER = (2e-3, 6e-3, 2e-2, 6e-2)
METHODS: dict[str, dict[str, Any]] = {
    **{
        f"Addax, alpha {alpha:g}": {
            "method": "addax",
            "alpha": alpha,
            "zo_batch_size": K0,
            "fo_batch_size": K1,
        }
        for alpha in ALPHAS
    },
    "Addax-WA, alpha 0.001": {"method": "addax", "alpha": 1e-3, "zo_batch_size": K0, "fo_batch_size": K1},
    "Addax (D1 only)": {"method": "addax", "alpha": 0.0, "zo_batch_size": 0, "fo_batch_size": K1},
    "IP-SGD (checkpointing)": {"method": "ip-sgd", "fo_batch_size": K1, "gradient_checkpointing": True},
    "MeZO": {"method": "mezo", "zo_batch_size": 16},
}
RATES = dict.fromkeys(METHODS, FIRST_ORDER) | {
    # The best of the first four rates was at the edge.
    "Addax, alpha 0.3": (2e-4, 6e-4, *FIRST_ORDER),
    "MeZO": (3e-4, 1e-3, 3e-3, 1e-2),
}


def threshold(task: str) -> int | str:
    """Return the length above which a row of a task is long, which is also Addax's L_T."""
    return LONG_ABOVE if task.endswith("-long") else "q0.75"


def run_of(name: str, task: str, seed: int) -> dict[str, Any]:
    """Return the values of one run without its learning rate; the seed also draws rows and batches."""
    where = {"model": MODEL, "task": task, "seed": seed, "data_seed": seed, "long_above": threshold(task)}
    own = METHODS[name]
    if own["method"] == "addax":
        own = own | {"length_threshold": None if name.startswith("Addax-WA") else threshold(task)}
    return where | ROWS | {"forward_equivalents": BUDGET, "schedule": "linear"} | own


def specs() -> list[RunSpec]:
    """Return a run for each method, learning rate, and task."""
    return [
        from_dict(run_of(name, task, SEED) | {"lr": lr})
        for name in METHODS
        for lr in RATES[name]
        for task in TASKS
    ]
