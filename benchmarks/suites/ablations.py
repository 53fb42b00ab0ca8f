"""Ablations requested by Addax's reviewers, nano-opt: checkpointing, D1 only, Addax-WA, LoRA; six seeds."""

from benchmarks.config.names import ZERO_SHOT
from benchmarks.config.spec import RunSpec, from_dict
from benchmarks.suites.quick import DATA, ROWS, SETTINGS

__all__ = ["DATA", "specs"]

MODEL = "nano-opt"
# These tasks have long examples. The longest quarter is D0.
TASKS = ("boolq", "multirc", "squad")
# A significance test needs at least this many pairs to separate two methods on one task.
SEEDS = (0, 1, 2, 3, 4, 5)
LORA = SETTINGS["adam"] | {"trainable": "lora:8", "lr": 3e-3}
# The settings are those of `quick`. LoRA's learning rate is the best of five that we tried by hand.
RUNS = (
    ("addax", SETTINGS["addax"]),
    ("addax", SETTINGS["addax"] | {"length_threshold": None}),
    # This run skips the long examples, to test whether the zeroth-order part is needed.
    ("addax", SETTINGS["addax"] | {"alpha": 0.0, "zo_batch_size": 0}),
    ("mezo", SETTINGS["mezo"]),
    ("ip-sgd", SETTINGS["ip-sgd"]),
    ("ip-sgd", SETTINGS["ip-sgd"] | {"gradient_checkpointing": True}),
    ("sgd", SETTINGS["sgd"]),
    ("sgd", SETTINGS["sgd"] | {"gradient_checkpointing": True}),
    ("adam", SETTINGS["adam"]),
    ("adam", SETTINGS["adam"] | {"gradient_checkpointing": True}),
    ("adam", LORA),
)


def specs() -> list[RunSpec]:
    """Return zero-shot and eleven configurations on each of three tasks, with six seeds."""
    return [
        from_dict(
            {"method": method, "model": MODEL, "task": task, "seed": seed, "data_seed": seed}
            | ROWS
            | settings
        )
        for task in TASKS
        for method, settings in ((ZERO_SHOT, {}), *RUNS)
        for seed in SEEDS
    ]
