"""Learning rates for `sst2-real`: a short trial of each value of a grid, compared on validation rows."""

from benchmarks.config.spec import RunSpec, from_dict

# One run at a time, on all cores: a wall-clock budget wants the machine to itself.
JOBS = 1
SECONDS = 30.0
MODEL = {"model": "smollm2-135m", "task": "sst2", "data": "folder"}
ROWS = {"train_rows": 1000, "validation_rows": 100, "test_rows": 20}
# The batch sizes of the papers: MeZO 16, Adam 8, Addax K0 = 6 with K1 = 4; IP-SGD as Addax's K1. Reviews
# of SST-2 are short: the longest quarter of them is Addax's D0.
METHODS = {
    "adam": {"fo_batch_size": 8},
    "ip-sgd": {"fo_batch_size": 4},
    "addax": {"zo_batch_size": 6, "fo_batch_size": 4, "alpha": 1e-3, "length_threshold": "q0.75"},
    "mezo": {"zo_batch_size": 16},
}
# Around the values that work for Adam and SGD on this model, and MeZO's own scaled up for a small one.
GRID = {
    "adam": (1e-5, 2e-5, 5e-5, 1e-4, 2e-4),
    "ip-sgd": (3e-4, 1e-3, 3e-3, 1e-2),
    "addax": (1e-4, 3e-4, 1e-3, 3e-3),
    "mezo": (1e-7, 1e-6, 1e-5, 1e-4, 1e-3),
}


def specs() -> list[RunSpec]:
    """A trial of every learning rate of every method."""
    return [
        from_dict(MODEL | ROWS | {"method": m, "seconds": SECONDS, "evaluations": 1, "lr": lr} | METHODS[m])
        for m in METHODS
        for lr in GRID[m]
    ]
