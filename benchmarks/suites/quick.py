"""All six methods and zero-shot on the three built-in nano models and nine tasks."""

from benchmarks import tasks
from benchmarks.config.names import ZERO_SHOT
from benchmarks.config.spec import RunSpec, from_dict

# The nano models understand only the built-in language, so ADDAX_DATA is ignored.
DATA = "builtin"
WANDB = "disabled"
MODELS = ("nano-opt", "nano-llama", "nano-roberta")
TASKS = ("sst2", "rte", "cb", "boolq", "wsc", "wic", "multirc", "record", "squad")
# We chose learning rates and budgets by hand, from a few trials of nano-opt and nano-llama on some of the
# tasks.
SETTINGS = {
    "addax": {"lr": 0.02, "alpha": 0.02, "steps": 60, "length_threshold": "q0.75"},
    "mezo": {"lr": 5e-4, "steps": 120},
    "ip-sgd": {"lr": 0.02, "steps": 60, "fo_batch_size": 4},
    "sgd": {"lr": 0.02, "steps": 60},
    "adam": {"lr": 1e-3, "steps": 60},
    # Every second step is a full-batch step, so fewer rows keep its run time close to that of the other
    # methods.
    "mezo-svrg": {"lr": 5e-4, "lr_ratio": 1.0, "steps": 40, "train_rows": 128},
}
ROWS = {"train_rows": 1000, "validation_rows": 100, "test_rows": 300}
K0_TASK, K0_SWEEP, K1 = "squad", (0, 2, 4, 8, 16), 4


def defaults(method: str | None, model: str | None) -> dict | None:
    """Return this suite's settings of a method; None if the suite does not have the method or the model."""
    if model not in MODELS or method not in (ZERO_SHOT, *SETTINGS):
        return None
    return ROWS | SETTINGS.get(method, {})


def specs() -> list[RunSpec]:
    """Return 175 runs of six methods and zero-shot, then Addax-WA and the K0 sweep on one task."""
    runs = []
    for model in MODELS:
        for task in TASKS:
            if model == "nano-roberta" and tasks.load(task).loss == "teacher_forcing":
                continue
            where = {"model": model, "task": task}
            runs.append(from_dict({"method": ZERO_SHOT, **where, **ROWS}))
            runs += [
                from_dict({"method": method, **where, **ROWS, **settings})
                for method, settings in SETTINGS.items()
            ]
    where = {"method": "addax", "model": "nano-opt", "task": K0_TASK} | ROWS | SETTINGS["addax"]
    runs.append(from_dict(where | {"length_threshold": None}))
    for k0 in K0_SWEEP:
        alpha = {"alpha": 0.0} if k0 == 0 else {}
        runs.append(
            from_dict(where | {"length_threshold": None, "zo_batch_size": k0, "fo_batch_size": K1} | alpha)
        )
    return runs
