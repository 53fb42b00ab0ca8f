"""Real weights, real data, equal wall-clock: SmolLM2-135M on SST-2 and BoolQ, MiniLM on SST-2 and RTE."""

from itertools import product

from benchmarks.config.names import ZERO_SHOT
from benchmarks.config.spec import RunSpec, from_dict
from benchmarks.errors import UserError
from benchmarks.results import tuning
from benchmarks.suites import small_grid
from benchmarks.suites.small_grid import JOBS, METHODS, MODELS, ROWS

__all__ = ["JOBS", "TRIALS", "specs"]

# Where learning rates come from.
TRIALS = "small-grid"
SECONDS = {"smollm2-135m": 360.0, "minilm-l6": 120.0}
SEEDS = {"smollm2-135m": (0,), "minilm-l6": (0, 1, 2)}
TEST_ROWS = 400
# On the way, of the validation rows; one of BoolQ's passages takes eight times as long as one of SST-2.
EVALUATIONS = {"sst2": 4, "rte": 4, "boolq": 2}


def specs() -> list[RunSpec]:
    """Every method at the learning rate that its trials chose, and zero-shot where there is a prompt.

    IP-SGD with gradient checkpointing has the learning rate of IP-SGD: it is the same arithmetic.

    A model joins when all of its trials have rows.

    Raises:
        UserError: the trials of neither model have rows yet.
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
        own = MODELS[model]
        # Methods take turns, so that whatever the machine does in these hours it does to all of them.
        for seed, task in product(SEEDS[model], own["tasks"]):
            where = {"model": model, "task": task, "head": own["head"], "data": "folder"} | ROWS
            where |= {"test_rows": TEST_ROWS, "seed": seed, "data_seed": seed}
            if own["head"] == "lm":
                runs.append(from_dict(where | {"method": ZERO_SHOT}))
            budget = {"seconds": SECONDS[model], "evaluations": EVALUATIONS[task]}
            for label in small_grid.GRID[model]:
                run = where | budget | METHODS[label] | chosen[model, task, label]
                runs.append(from_dict(run))
                if label == "IP-SGD":
                    runs.append(from_dict(run | {"gradient_checkpointing": True}))
    return runs
