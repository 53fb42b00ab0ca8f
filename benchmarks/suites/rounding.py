"""Whether 16-bit runs of `quick` end within the seed spread of float32's, and what other arithmetic does."""

from benchmarks.config.methods import settings_of
from benchmarks.config.spec import RunSpec, from_dict
from benchmarks.suites.quick import DATA, ROWS, SETTINGS

__all__ = ["DATA", "specs"]

MODEL = "nano-opt"
# In so few steps no method solves CB or SQuAD with every seed, and MeZO not WSC.
TASKS = ("cb", "wsc", "squad")
STEPS = {"addax": 8, "mezo": 40, "ip-sgd": 8}
SEEDS = (0, 1, 2)
DTYPES = ("float32", "bfloat16", "float16")
# Beside stochastic rounding and exact evaluation, which are the defaults.
OTHER = ({"rounding": "nearest"}, {"arithmetic": "released"})


def specs() -> list[RunSpec]:
    """Three methods on three tasks with three seeds, in every dtype; in bfloat16 the other arithmetic too."""
    runs = []
    for method, steps in STEPS.items():
        ways = [{"dtype": dtype} for dtype in DTYPES]
        ways += [{"dtype": "bfloat16"} | way for way in OTHER if way.keys() <= settings_of(method).keys()]
        own = (
            {"method": method, "model": MODEL} | ROWS | SETTINGS[method] | {"steps": steps, "evaluations": 1}
        )
        runs += [
            # A seed draws rows and their order too: the noise alone would leave IP-SGD without any spread.
            from_dict(own | {"task": task, "seed": seed, "data_seed": seed} | way)
            for task in TASKS
            for way in ways
            for seed in SEEDS
        ]
    return runs
