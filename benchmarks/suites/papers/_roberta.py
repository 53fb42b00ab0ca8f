"""What the experiments on RoBERTa-large have in common: its tasks, shots, seeds and the rows of a run."""

from benchmarks.config.spec import RunSpec
from benchmarks.suites.papers._mezo import SOURCE
from benchmarks.suites.papers._paper import Setting

TASKS = ("sst2-cloze", "sst5", "snli", "mnli", "rte-cloze", "trec")
FEW, MANY = 16, 512
COMMON = (
    Setting("all", "model", "FacebookAI/roberta-large", "V", SOURCE),
    Setting("all", "task", TASKS, "V", f"{SOURCE}: Table 18"),
    Setting("all", "shots", (FEW, MANY), "V", f"{SOURCE}; TREC without {MANY}: a class has too few rows"),
    Setting("all", "seed", (13, 21, 42, 87, 100), "V", SOURCE),
    Setting(
        "all", "data", "hub", "ours", "the parquet copies of the public data; a folder of them does as well"
    ),
    Setting("all", "test_rows", 1000, "V", SOURCE),
)
# Shots of each class, and the batches that Adam has there.
ADAM_BATCHES = {FEW: (2, 4, 8), MANY: (8, 16, 32)}


def adam(*methods: str) -> tuple[Setting, ...]:
    """Budget, schedule and batches of Adam."""
    return (
        Setting(methods, "steps", 1000, "V", SOURCE),
        Setting(methods, "evaluations", 10, "ours", "every 100 steps"),
        Setting(methods, "schedule", "linear", "R", "as for OPT [V]; for RoBERTa no source at hand"),
        *(
            Setting(methods, "fo_batch_size", sizes, "V", SOURCE, {"shots": (shots,)})
            for shots, sizes in ADAM_BATCHES.items()
        ),
    )


def possible(specs: list[RunSpec]) -> list[RunSpec]:
    """Those whose shots there are: 86 rows of TREC ask for an abbreviation."""
    return [spec for spec in specs if (spec.task, spec.shots) != ("trec", MANY)]
