"""Settings shared by the experiments on RoBERTa-large: tasks, shots, seeds, and rows."""

from benchmarks.config.spec import RunSpec
from benchmarks.suites.papers._mezo import SOURCE
from benchmarks.suites.papers._paper import Setting

TASKS = ("sst2-cloze", "sst5", "snli", "mnli", "rte-cloze", "trec")
FEW, MANY = 16, 512
COMMON = (
    Setting("all", "model", "FacebookAI/roberta-large", "V", SOURCE),
    Setting("all", "task", TASKS, "V", f"{SOURCE}: Table 18"),
    Setting("all", "shots", (FEW, MANY), "V", f"{SOURCE}; TREC has too few rows of one class for {MANY}"),
    Setting("all", "seed", (13, 21, 42, 87, 100), "V", SOURCE),
    Setting("all", "data", "hub", "ours", "the Parquet copies of the public data; a local folder also works"),
    Setting("all", "test_rows", 1000, "V", SOURCE),
)
# Shots per class -> Adam's batch sizes.
ADAM_BATCHES = {FEW: (2, 4, 8), MANY: (8, 16, 32)}


def adam(*methods: str) -> tuple[Setting, ...]:
    """Return the budget, schedule, and batch sizes of Adam."""
    return (
        Setting(methods, "steps", 1000, "V", SOURCE),
        Setting(methods, "evaluations", 10, "ours", "every 100 steps"),
        Setting(methods, "schedule", "linear", "R", "the same as for OPT [V]; not verified for RoBERTa"),
        *(
            Setting(methods, "fo_batch_size", sizes, "V", SOURCE, {"shots": (shots,)})
            for shots, sizes in ADAM_BATCHES.items()
        ),
    )


def possible(specs: list[RunSpec]) -> list[RunSpec]:
    """Return the runs that have enough data: only 86 rows of TREC ask for an abbreviation."""
    return [spec for spec in specs if (spec.task, spec.shots) != ("trec", MANY)]
