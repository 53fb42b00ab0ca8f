"""Memory and time of each method of `real`: twenty steps, one run at a time on all cores."""

from benchmarks.config.spec import RunSpec, from_dict
from benchmarks.suites.real import EVERYWHERE, TEST_ROWS
from benchmarks.suites.real_grid import METHODS, TUNED_ON, run_of

__all__ = ["JOBS", "specs"]

JOBS = 1
STEPS, SEED = 20, 0
CHECKPOINTED = "IP-SGD"
# A rate at which no weight moves far. It has no effect on memory and time.
LR = 1e-6
# Scores are not used, so few rows are evaluated.
ROWS = {"validation_rows": 8, "test_rows": 8, "evaluations": 1}


def specs() -> list[RunSpec]:
    """Return a run per method and task, and one of IP-SGD with gradient checkpointing per task."""
    runs = []
    for task in TEST_ROWS:
        for label in METHODS if task == TUNED_ON else EVERYWHERE:
            steps = {"forward_equivalents": None, "steps": STEPS, "lr": LR}
            run = run_of(label, task, SEED) | ROWS | steps
            runs.append(from_dict(run))
            if label == CHECKPOINTED:
                runs.append(from_dict(run | {"gradient_checkpointing": True}))
    return runs
