"""How much Addax depends on alpha x K0, L_T, eps and the seed: heat maps, nano-opt."""

from benchmarks.config.spec import RunSpec, from_dict
from benchmarks.suites.quick import DATA, ROWS, SETTINGS

__all__ = ["DATA", "specs"]

MODEL, TASK = "nano-opt", "squad"
SEEDS = (0, 1, 2)
# The middle of each is the setting of `quick`.
ALPHAS, K0 = (0.002, 0.006, 0.02, 0.06, 0.2), (2, 6, 12, 24)
THRESHOLDS = ("q0.25", "q0.5", "q0.75", "q0.9")
EPS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)


def specs() -> list[RunSpec]:
    """A grid of alpha and K0, and a line each of L_T and eps, with three seeds."""
    ways = [{"alpha": alpha, "zo_batch_size": k0} for alpha in ALPHAS for k0 in K0]
    ways += [{"length_threshold": threshold} for threshold in THRESHOLDS]
    ways += [{"eps": eps} for eps in EPS]
    runs = {}
    for own in ways:
        for seed in SEEDS:
            where = {"method": "addax", "model": MODEL, "task": TASK, "seed": seed, "data_seed": seed}
            # The setting of `quick` lies in each of the three.
            spec = from_dict(where | ROWS | SETTINGS["addax"] | own)
            runs[spec.id] = spec
    return list(runs.values())
