"""Real models and data at equal wall-clock time: SmolLM2-135M (SST-2, BoolQ) and MiniLM (SST-2, RTE)."""

from itertools import product

from benchmarks.config.names import ZERO_SHOT
from benchmarks.config.spec import RunSpec, from_dict
from benchmarks.errors import UserError
from benchmarks.results import tuning
from benchmarks.suites import small_grid
from benchmarks.suites.small_grid import JOBS, METHODS, MODELS, ROWS

__all__ = ["JOBS", "TRIALS", "specs"]

# The suite whose rows determine the learning rates.
TRIALS = "small-grid"
SECONDS = {"smollm2-135m": 360.0, "minilm-l6": 120.0}
SEEDS = {"smollm2-135m": (0,), "minilm-l6": (0, 1, 2)}
TEST_ROWS = 400
# Validations during training. BoolQ has fewer, because a row of it takes eight times as long as a row of
# SST-2.
EVALUATIONS = {"sst2": 4, "rte": 4, "boolq": 2}


def specs() -> list[RunSpec]:
    """Return every method at the learning rate that its trials selected, and zero-shot for SmolLM2.

    IP-SGD with gradient checkpointing uses the learning rate of IP-SGD, because the arithmetic is the same. A
    model is included once all of its trials have rows.

    Raises:
        UserError: neither model has rows for all of its trials yet.
    """
    chosen, missing = {}, []
    for model in MODELS:
        try:
            chosen |= tuning.best(TRIALS, [spec for spec in small_grid.specs() if spec.model == model])
        except UserError as error:
            missing.append(error)
    if not chosen:
        raise missing[0]
    runs = []
    for model in dict.fromkeys(model for model, _, _ in chosen):
        setup = MODELS[model]
        # Runs of different methods are interleaved, so that changes in the machine's speed affect them
        # equally.
        for seed, task in product(SEEDS[model], setup["tasks"]):
            where = {"model": model, "task": task, "head": setup["head"], "data": "folder"} | ROWS
            where |= {"test_rows": TEST_ROWS, "seed": seed, "data_seed": seed}
            if setup["head"] == "lm":
                runs.append(from_dict(where | {"method": ZERO_SHOT}))
            budget = {"seconds": SECONDS[model], "evaluations": EVALUATIONS[task]}
            for label in small_grid.GRID[model]:
                run = where | budget | METHODS[label] | chosen[model, task, label]
                runs.append(from_dict(run))
                if label == "IP-SGD":
                    runs.append(from_dict(run | {"gradient_checkpointing": True}))
    return runs
