"""Learning-rate trials for `small`: three short runs per method, model, and task, scored on validation."""

from typing import Any

from benchmarks.config.spec import RunSpec, from_dict

# Runs with a wall-clock budget need the whole machine, so they run one at a time on all cores.
JOBS = 1
ROWS = {"train_rows": 1000, "validation_rows": 200}
# The test scores of trials are not used.
TEST_ROWS = 20
MODELS = {
    "smollm2-135m": {"tasks": ("sst2", "boolq"), "head": "lm", "seconds": 60.0},
    "minilm-l6": {"tasks": ("sst2", "rte"), "head": "classification", "seconds": 20.0},
}
# The longest quarter of a task's rows is Addax's D0. The batch sizes are the papers': K0 = 6 and K1 = 4 for
# Addax, 16 for MeZO, 8 for Adam, and 64 for MeZO-SVRG, where every second step is a full-batch step. IP-SGD
# uses Addax's K1.
ADDAX = {"zo_batch_size": 6, "fo_batch_size": 4, "alpha": 1e-3}
METHODS: dict[str, dict[str, Any]] = {
    "Addax": {"method": "addax", **ADDAX, "length_threshold": "q0.75"},
    "Addax-WA": {"method": "addax", **ADDAX, "length_threshold": None},
    "MeZO": {"method": "mezo", "zo_batch_size": 16},
    "MeZO-SVRG": {"method": "mezo-svrg", "zo_batch_size": 64, "anchor_every": 2, "lr_ratio": 0.1},
    "IP-SGD": {"method": "ip-sgd", "fo_batch_size": 4},
    "Adam": {"method": "adam", "fo_batch_size": 8},
    "Adam (LoRA)": {"method": "adam", "fo_batch_size": 8, "trainable": "lora:8"},
}
# Every method has three learning rates, spaced by a factor of about three. We centered them on the best one
# in trials of a few seconds.
GRID = {
    "smollm2-135m": {
        "Addax": (1e-4, 3e-4, 1e-3),
        "Addax-WA": (1e-4, 3e-4, 1e-3),
        "MeZO": (3e-5, 1e-4, 3e-4),
        "IP-SGD": (1e-3, 3e-3, 1e-2),
        "Adam": (3e-5, 1e-4, 3e-4),
        "Adam (LoRA)": (3e-4, 1e-3, 3e-3),
    },
    "minilm-l6": {
        "Addax": (3e-2, 1e-1, 3e-1),
        "Addax-WA": (3e-2, 1e-1, 3e-1),
        "MeZO": (1e-3, 3e-3, 1e-2),
        "MeZO-SVRG": (1e-3, 3e-3, 1e-2),
        "IP-SGD": (3e-2, 1e-1, 3e-1),
        "Adam": (3e-5, 1e-4, 3e-4),
        "Adam (LoRA)": (3e-4, 1e-3, 3e-3),
    },
}


def specs() -> list[RunSpec]:
    """Return one trial per learning rate of every method on every task."""
    return [
        from_dict(
            {
                "model": model,
                "task": task,
                "head": setup["head"],
                "data": "folder",
                "seconds": setup["seconds"],
            }
            | ROWS
            | {"test_rows": TEST_ROWS, "evaluations": 1, "lr": lr}
            | METHODS[label]
        )
        for model, setup in MODELS.items()
        for task in setup["tasks"]
        for label, grid in GRID[model].items()
        for lr in grid
    ]
