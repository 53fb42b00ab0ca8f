"""What Addax learns from long examples: five values of alpha, D1 only, IP-SGD, and MeZO, nano-opt, six seeds.

Each task has two versions. In the first, long examples teach nothing that short ones do not. In the second
(`-long`), only long examples teach how to answer long rows. The rows of a test set are scored together, and
the long and the short ones apart.
"""

from benchmarks.config.names import ZERO_SHOT
from benchmarks.config.spec import RunSpec, from_dict
from benchmarks.suites._comparisons import Comparisons
from benchmarks.suites.long_matters_grid import DATA, METHODS, MODEL, ROWS, TASKS, WANDB, run_of, threshold

__all__ = ["COMPARISONS", "DATA", "TRIALS", "WANDB", "specs"]

TRIALS = "long-matters-grid"
SEEDS = (0, 1, 2, 3, 4, 5)
# Fixed before the runs. The names are those of `METHODS`.
COMPARISONS = Comparisons("Addax (D1 only)", tuple(name for name in METHODS if name != "Addax (D1 only)"))
# The best of the trials: the rate with the highest validation score, as the mean over the six tasks.
RATES = dict.fromkeys(METHODS, 2e-2) | {"Addax, alpha 0.1": 6e-3, "Addax, alpha 0.3": 6e-4, "MeZO": 1e-3}


def specs() -> list[RunSpec]:
    """Return every method and zero-shot on both versions of each task."""
    runs = []
    for seed in SEEDS:
        for task in TASKS:
            where = {"model": MODEL, "task": task, "seed": seed, "data_seed": seed}
            rows = {key: value for key, value in ROWS.items() if key != "evaluations"}
            runs.append(from_dict({"method": ZERO_SHOT, "long_above": threshold(task)} | where | rows))
            runs += [from_dict(run_of(name, task, seed) | {"lr": RATES[name]}) for name in METHODS]
    return runs
