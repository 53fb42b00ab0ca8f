"""Real weights on real data: SmolLM2-135M on SST-2, three minutes of training a method on one machine."""

from benchmarks.config.methods import ZERO_SHOT
from benchmarks.config.spec import RunSpec, from_dict
from benchmarks.suites.sst2_grid import JOBS, METHODS, MODEL

__all__ = ["JOBS", "TRIALS", "specs"]

# Where learning rates come from.
TRIALS = "sst2-grid"

SECONDS = 180.0
ROWS = {"train_rows": 1000, "validation_rows": 100, "test_rows": 300}
# Each the best of `sst2-grid` on validation rows, with a worse value tried on either side.
LR = {"adam": 1e-4, "ip-sgd": 3e-3, "addax": 3e-4, "mezo": 1e-4}


def specs() -> list[RunSpec]:
    """Zero-shot, and each method at its learning rate."""
    runs = [from_dict(MODEL | ROWS | {"method": ZERO_SHOT})]
    for method, own in METHODS.items():
        budget = {"seconds": SECONDS, "evaluations": 3, "lr": LR[method]}
        runs.append(from_dict(MODEL | ROWS | {"method": method} | budget | own))
    return runs
