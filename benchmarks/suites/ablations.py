"""What Addax's reviewers asked for, on nano-opt: checkpointing, D1 alone, Addax-WA apart, LoRA; six seeds."""

from benchmarks.config.names import ZERO_SHOT
from benchmarks.config.spec import RunSpec, from_dict
from benchmarks.suites.quick import DATA, ROWS, SETTINGS

__all__ = ["DATA", "specs"]

MODEL = "nano-opt"
# Tasks with long examples, of which the longest quarter is D0.
TASKS = ("boolq", "multirc", "squad")
# As many pairs as a test needs to separate two methods on one task.
SEEDS = (0, 1, 2, 3, 4, 5)
LORA = SETTINGS["adam"] | {"trainable": "lora:8", "lr": 3e-3}
# Settings are those of `quick`; LoRA's learning rate is the best of five tried by hand.
RUNS = (
    ("addax", SETTINGS["addax"]),
    ("addax", SETTINGS["addax"] | {"length_threshold": None}),
    # The long examples skipped: is the zeroth-order part needed?
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
    """Zero-shot, and eleven ways on each of three tasks, with six seeds."""
    return [
        from_dict(
            {"method": method, "model": MODEL, "task": task, "seed": seed, "data_seed": seed} | ROWS | own
        )
        for task in TASKS
        for method, own in ((ZERO_SHOT, {}), *RUNS)
        for seed in SEEDS
    ]
