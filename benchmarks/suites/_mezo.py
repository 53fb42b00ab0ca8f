"""What MeZO's experiments on large models have in common, and those of later papers with them."""

from benchmarks.suites._paper import Stated

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
    Stated("all.data", "hub", "ours", "the parquet copies of the public data; a folder of them does as well"),
    Stated("all.train_rows", 1000, "V", SOURCE),
    Stated("all.validation_rows", 500, "V", f"{SOURCE}; 100 of a training set below 1,500 rows"),
    Stated("all.test_rows", 1000, "V", f"{SOURCE}; of the public validation split"),
)


def budget(groups: str = "mezo") -> tuple[Stated, ...]:
    """Steps, evaluations and batch of MeZO, also with adapters."""
    return (
        Stated(f"{groups}.steps", 20_000, "V", SOURCE),
        Stated(f"{groups}.evaluations", 5, "V", f"{SOURCE}: every 4,000 steps"),
        Stated(f"{groups}.zo_batch_size", 16, "V", SOURCE),
    )


MEZO = (*budget(), Stated("mezo.eps", 1e-3, "V", SOURCE))
ADAM = (
    Stated("adam.steps", epochs(1000), "V", f"{SOURCE}: 5 epochs"),
    Stated("adam.steps", epochs(150), "D", "5 epochs of CB's 250 rows but 100", {"task": ("cb",)}),
    Stated("adam.steps", epochs(454), "D", "5 epochs of WSC's 554 rows but 100", {"task": ("wsc",)}),
    Stated("adam.fo_batch_size", BATCH, "V", SOURCE),
    Stated("adam.schedule", "linear", "V", SOURCE),
    Stated("adam.evaluations", 5, "ours", "once an epoch"),
)


def larger(model: str, hardware: str) -> tuple[Stated, ...]:
    """All that defines the runs of Table 20, on the models beyond 13B."""
    return (
        Stated("methods", ("zero-shot", "mezo"), "V", "Table 20, of whose rows these are here"),
        Stated("hardware", hardware, "V", "Table 22"),
        Stated("all.model", model, "V", "Table 20"),
        Stated("all.task", ("sst2", "rte", "boolq", "wsc", "wic", "squad"), "V", "Table 20"),
        Stated("all.seed", 0, "R", "the rows are those of one set seed [V]"),
        *ROWS,
        Stated("zero-shot,mezo.dtype", "float16", "V", f"{SOURCE}: 16-bit weights"),
        *MEZO,
        Stated("mezo.lr", (1e-6, 1e-7), "V", f"{SOURCE}: of its large models"),
        Stated("mezo.lr", (1e-6, 5e-7, 1e-7), "V", SOURCE, {"task": ("squad",)}),
    )
