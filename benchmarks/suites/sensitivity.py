"""Sensitivity of Addax to alpha x K0, L_T, eps, and the seed, nano-opt (heat maps)."""

from benchmarks.config.spec import RunSpec, from_dict
from benchmarks.suites.quick import DATA, ROWS, SETTINGS

__all__ = ["DATA", "specs"]

MODEL, TASK = "nano-opt", "squad"
SEEDS = (0, 1, 2)
# Each grid contains the setting of `quick`.
ALPHAS, K0 = (0.002, 0.006, 0.02, 0.06, 0.2), (2, 6, 12, 24)
THRESHOLDS = ("q0.25", "q0.5", "q0.75", "q0.9")
EPS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)


def specs() -> list[RunSpec]:
    """Return a grid over alpha and K0 and one sweep each of L_T and eps, with three seeds."""
    points = [{"alpha": alpha, "zo_batch_size": k0} for alpha in ALPHAS for k0 in K0]
    points += [{"length_threshold": threshold} for threshold in THRESHOLDS]
    points += [{"eps": eps} for eps in EPS]
    runs = {}
    for point in points:
        for seed in SEEDS:
            where = {"method": "addax", "model": MODEL, "task": TASK, "seed": seed, "data_seed": seed}
            # The setting of `quick` is a point of the grid and of both sweeps, but is listed once.
            spec = from_dict(where | ROWS | SETTINGS["addax"] | point)
            runs[spec.id] = spec
    return list(runs.values())
