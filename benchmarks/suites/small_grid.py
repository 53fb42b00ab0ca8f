"""Learning rates for `small`: three short trials a method, model and task, judged on validation rows."""

from typing import Any

from benchmarks.config.spec import RunSpec, from_dict

# One run at a time, on all cores: a wall-clock budget wants the machine to itself.
JOBS = 1
ROWS = {"train_rows": 1000, "validation_rows": 200}
# Trials are not for their test scores.
TEST_ROWS = 20
MODELS = {
    "smollm2-135m": {"tasks": ("sst2", "boolq"), "head": "lm", "seconds": 60.0},
    "minilm-l6": {"tasks": ("sst2", "rte"), "head": "classification", "seconds": 20.0},
}
# The longest quarter of a task's rows is Addax's D0. Batches are the papers': Addax K0 = 6 and K1 = 4, MeZO
# 16, Adam 8, MeZO-SVRG 64 with a full-batch step every second one; IP-SGD has Addax's K1.
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
# Equally many for every method, a factor of three apart, around what a few seconds liked best; our choice.
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
    """A trial of every learning rate of every method on every task."""
    return [
        from_dict(
            {"model": model, "task": task, "head": own["head"], "data": "folder", "seconds": own["seconds"]}
            | ROWS
            | {"test_rows": TEST_ROWS, "evaluations": 1, "lr": lr}
            | METHODS[label]
        )
        for model, own in MODELS.items()
        for task in own["tasks"]
        for label, grid in GRID[model].items()
        for lr in grid
    ]
