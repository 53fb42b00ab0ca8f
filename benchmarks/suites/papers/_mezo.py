"""What MeZO's experiments on large models have in common, and those of later papers with them."""

from benchmarks.suites.papers._paper import SUITE, Setting

SOURCE = "arXiv 2305.17333 and its released code"
# Addax's nine tasks. MeZO's Table 1 has COPA and DROP too.
NINE = ("sst2", "rte", "cb", "boolq", "wsc", "wic", "multirc", "record", "squad")
EPOCHS, BATCH = 5, 8


def epochs(rows: int) -> int:
    """Steps of Adam over a training set.

    >>> epochs(1000)
    625
    """
    return -(-EPOCHS * rows // BATCH)


ROWS = (
    Setting(
        "all", "data", "hub", "ours", "the parquet copies of the public data; a folder of them does as well"
    ),
    Setting("all", "train_rows", 1000, "V", SOURCE),
    Setting("all", "validation_rows", 500, "V", f"{SOURCE}; 100 of a training set below 1,500 rows"),
    Setting("all", "test_rows", 1000, "V", f"{SOURCE}; of the public validation split"),
)


def budget(*methods: str) -> tuple[Setting, ...]:
    """Steps, evaluations and batch of MeZO, also with adapters."""
    return (
        Setting(methods, "steps", 20_000, "V", SOURCE),
        Setting(methods, "evaluations", 5, "V", f"{SOURCE}: every 4,000 steps"),
        Setting(methods, "zo_batch_size", 16, "V", SOURCE),
    )


MEZO = (*budget("mezo"), Setting("mezo", "eps", 1e-3, "V", SOURCE))
ADAM = (
    Setting("adam", "steps", epochs(1000), "V", f"{SOURCE}: 5 epochs"),
    Setting("adam", "steps", epochs(150), "D", "5 epochs of CB's 250 rows but 100", {"task": ("cb",)}),
    Setting("adam", "steps", epochs(454), "D", "5 epochs of WSC's 554 rows but 100", {"task": ("wsc",)}),
    Setting("adam", "fo_batch_size", BATCH, "V", SOURCE),
    Setting("adam", "schedule", "linear", "V", SOURCE),
    Setting("adam", "evaluations", 5, "ours", "once an epoch"),
)


def larger(model: str, hardware: str) -> tuple[Setting, ...]:
    """All that defines the runs of Table 20, on the models beyond 13B."""
    return (
        Setting(SUITE, "methods", ("zero-shot", "mezo"), "V", "Table 20, of whose rows these are here"),
        Setting(SUITE, "hardware", hardware, "V", "Table 22"),
        Setting("all", "model", model, "V", "Table 20"),
        Setting("all", "task", ("sst2", "rte", "boolq", "wsc", "wic", "squad"), "V", "Table 20"),
        Setting("all", "seed", 0, "R", "the rows are those of one set seed [V]"),
        *ROWS,
        Setting(("zero-shot", "mezo"), "dtype", "float16", "V", f"{SOURCE}: 16-bit weights"),
        *MEZO,
        Setting("mezo", "lr", (1e-6, 1e-7), "V", f"{SOURCE}: of its large models"),
        Setting("mezo", "lr", (1e-6, 5e-7, 1e-7), "V", SOURCE, {"task": ("squad",)}),
    )
