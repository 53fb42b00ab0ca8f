"""Convergence on nano-opt: Addax-WA and MeZO at equal batch sizes; Addax and SGD with batch size 4 x K1."""

from benchmarks.config.spec import RunSpec, from_dict
from benchmarks.suites.quick import DATA, ROWS, SETTINGS

__all__ = ["DATA", "specs"]

MODEL = "nano-opt"
TASKS = ("cb", "squad")
SEEDS = (0, 1, 2)
BATCH = 16
K1 = 4
# The budgets are long enough for the curves to flatten. Learning rates and L_T are those of `quick`.
RUNS = (
    ("addax", {"length_threshold": None, "zo_batch_size": BATCH - K1, "fo_batch_size": K1, "steps": 40}),
    ("mezo", {"zo_batch_size": BATCH, "steps": 80}),
    ("addax", {"zo_batch_size": 6, "fo_batch_size": K1, "steps": 40}),
    ("sgd", {"fo_batch_size": BATCH, "steps": 40}),
)


def specs() -> list[RunSpec]:
    """Return four methods on two tasks with three seeds, each evaluated ten times."""
    return [
        from_dict(
            {
                "method": method,
                "model": MODEL,
                "task": task,
                "seed": seed,
                "data_seed": seed,
                "evaluations": 10,
            }
            | ROWS
            | SETTINGS[method]
            | changes
        )
        for task in TASKS
        for method, changes in RUNS
        for seed in SEEDS
    ]
