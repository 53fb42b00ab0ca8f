"""What the experiments on RoBERTa-large have in common: its tasks, shots, seeds and the rows of a run."""

from benchmarks.config.spec import RunSpec
from benchmarks.suites._mezo import SOURCE
from benchmarks.suites._paper import Stated

TASKS = ("sst2-cloze", "sst5", "snli", "mnli", "rte-cloze", "trec")
FEW, MANY = 16, 512
COMMON = (
    Stated("all.model", "FacebookAI/roberta-large", "V", SOURCE),
    Stated("all.task", TASKS, "V", f"{SOURCE}: Table 18"),
    Stated("all.shots", (FEW, MANY), "V", f"{SOURCE}; TREC without {MANY}: a class has too few rows"),
    Stated("all.seed", (13, 21, 42, 87, 100), "V", SOURCE),
    Stated("all.data", "hub", "ours", "the parquet copies of the public data; a folder of them does as well"),
    Stated("all.test_rows", 1000, "V", SOURCE),
)
# Shots of each class, and the batches that Adam has there.
ADAM_BATCHES = {FEW: (2, 4, 8), MANY: (8, 16, 32)}


def adam(groups: str) -> tuple[Stated, ...]:
    """Budget, schedule and batches of Adam."""
    return (
        Stated(f"{groups}.steps", 1000, "V", SOURCE),
        Stated(f"{groups}.evaluations", 10, "ours", "every 100 steps"),
        Stated(f"{groups}.schedule", "linear", "R", "as for OPT [V]; for RoBERTa no source at hand"),
        *(
            Stated(f"{groups}.fo_batch_size", sizes, "V", SOURCE, {"shots": (shots,)})
            for shots, sizes in ADAM_BATCHES.items()
        ),
    )


def possible(specs: list[RunSpec]) -> list[RunSpec]:
    """Those whose shots there are: 86 rows of TREC ask for an abbreviation."""
    return [spec for spec in specs if (spec.task, spec.shots) != ("trec", MANY)]
