"""Learning-rate trials for `quick`: rates a factor of three apart, nano-opt on the nine tasks, seed 100."""

from benchmarks.config.spec import RunSpec, from_dict
from benchmarks.suites.quick import DATA, SETTINGS, TASKS, WANDB, run_of

__all__ = ["DATA", "WANDB", "specs"]

MODEL, SEED = "nano-opt", 100
# Trials are compared on validation rows. Their test scores are not used.
ROWS = {"validation_rows": 300, "test_rows": 20, "evaluations": 1}
RATES = {
    # The best of the first three rates was at the edge.
    "addax": (2e-3, 6e-3, 2e-2, 6e-2),
    "mezo": (3e-4, 1e-3, 3e-3),
    "ip-sgd": (6e-3, 2e-2, 6e-2),
    "sgd": (6e-3, 2e-2, 6e-2),
    "adam": (3e-4, 1e-3, 3e-3),
    "mezo-svrg": (3e-4, 1e-3, 3e-3),
}


def specs() -> list[RunSpec]:
    """Return a run for each method, learning rate, and task."""
    return [
        from_dict(run_of(method, MODEL, task, SEED) | ROWS | {"lr": lr})
        for method in SETTINGS
        for lr in RATES[method]
        for task in TASKS
    ]
