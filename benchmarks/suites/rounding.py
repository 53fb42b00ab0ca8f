"""16-bit runs compared with the seed spread of float32 runs, for each rounding and arithmetic, nano-opt."""

from benchmarks.config.methods import settings_of
from benchmarks.config.spec import RunSpec, from_dict
from benchmarks.suites.quick import DATA, ROWS, SETTINGS

__all__ = ["DATA", "specs"]

MODEL = "nano-opt"
TASKS = ("cb", "wsc", "squad")
STEPS = {"addax": 30, "mezo": 60, "ip-sgd": 30}
SEEDS = (0, 1, 2)
DTYPES = ("float32", "bfloat16", "float16")
# These settings replace the defaults, stochastic rounding and exact evaluation.
OTHER = ({"rounding": "nearest"}, {"arithmetic": "released"})


def specs() -> list[RunSpec]:
    """Return three methods on three tasks with three seeds in every dtype.

    In bfloat16 there are also runs with the alternative rounding and arithmetic.
    """
    runs = []
    for method, steps in STEPS.items():
        variants = [{"dtype": dtype} for dtype in DTYPES]
        variants += [
            {"dtype": "bfloat16"} | other for other in OTHER if other.keys() <= settings_of(method).keys()
        ]
        common = (
            {"method": method, "model": MODEL} | ROWS | SETTINGS[method] | {"steps": steps, "evaluations": 1}
        )
        runs += [
            # The seed also selects the rows and their order. If it changed only the noise, IP-SGD's runs
            # would be identical.
            from_dict(common | {"task": task, "seed": seed, "data_seed": seed} | variant)
            for task in TASKS
            for variant in variants
            for seed in SEEDS
        ]
    return runs
