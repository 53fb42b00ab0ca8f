"""Settings of MeZO's experiments on large models, which later papers share."""

from benchmarks.suites.papers._paper import SUITE, Setting

SOURCE = "arXiv 2305.17333 and its released code"
# Addax's nine tasks, and the eleven of MeZO's Table 1.
NINE = ("sst2", "rte", "cb", "boolq", "wsc", "wic", "multirc", "record", "squad")
ELEVEN = (*NINE, "copa", "drop")
EPOCHS, BATCH = 5, 8


def epochs(rows: int) -> int:
    """Return the number of Adam's steps for a training set of `rows` examples.

    >>> epochs(1000)
    625
    """
    return -(-EPOCHS * rows // BATCH)


ROWS = (
    Setting("all", "data", "hub", "ours", "the Parquet copies of the public data; a local folder also works"),
    Setting("all", "train_rows", 1000, "V", SOURCE),
    Setting("all", "validation_rows", 500, "V", f"{SOURCE}; 100 for a training set below 1,500 rows"),
    Setting("all", "test_rows", 1000, "V", f"{SOURCE}; from the public validation split"),
)


def budget(*methods: str) -> tuple[Setting, ...]:
    """Return the steps, evaluations, and batch size of MeZO, with or without adapters."""
    return (
        Setting(methods, "steps", 20_000, "V", SOURCE),
        Setting(methods, "evaluations", 5, "V", f"{SOURCE}: every 4,000 steps"),
        Setting(methods, "zo_batch_size", 16, "V", SOURCE),
    )


MEZO = (*budget("mezo"), Setting("mezo", "eps", 1e-3, "V", SOURCE))
SEED = Setting(
    "all",
    "seed",
    0,
    "V",
    "the default of the released scripts; the authors confirm it in issue #15 of their code",
)
# The answers of these tasks are generated.
GENERATED = {"task": ("squad", "drop")}
# MeZO's learning rates for the whole model.
RATES = (
    Setting("mezo", "lr", (1e-6, 1e-7), "V", SOURCE),
    Setting("mezo", "lr", (1e-6, 5e-7, 1e-7), "V", SOURCE, GENERATED),
)
ICL = (
    Setting("icl", "method", "zero-shot", "V", SOURCE),
    Setting(
        "icl",
        "demonstrations",
        32,
        "V",
        f"{SOURCE}: another draw for each example, two newlines between, cut on the left at 2,048 tokens",
    ),
)
PREFIX = (
    Setting("mezo-prefix", "method", "mezo", "V", SOURCE),
    Setting(
        "mezo-prefix",
        "trainable",
        "prefix:5",
        "V",
        f"{SOURCE}: keys and values of 5 random tokens, no reparameterization, positions not shifted",
    ),
    Setting("mezo-prefix", "lr", (1e-2, 1e-3), "V", SOURCE),
    Setting("mezo-prefix", "eps", 1e-1, "V", SOURCE),
)
ADAM = (
    Setting("adam", "steps", epochs(1000), "V", f"{SOURCE}: 5 epochs"),
    Setting(
        "adam",
        "steps",
        epochs(150),
        "D",
        "5 epochs of CB's 250 rows without 100 for validation",
        {"task": ("cb",)},
    ),
    Setting(
        "adam",
        "steps",
        epochs(454),
        "D",
        "5 epochs of WSC's 554 rows without 100 for validation",
        {"task": ("wsc",)},
    ),
    Setting("adam", "fo_batch_size", BATCH, "V", SOURCE),
    Setting("adam", "schedule", "linear", "V", SOURCE),
    Setting("adam", "evaluations", 5, "ours", "once per epoch"),
)


def larger(model: str, hardware: str) -> tuple[Setting, ...]:
    """Return all settings of the runs in Table 20, which has the models larger than 13B."""
    methods = ("zero-shot", "icl", "mezo", "mezo-prefix")
    return (
        Setting(SUITE, "methods", methods, "V", "the rows of Table 20"),
        Setting(SUITE, "hardware", hardware, "V", "Table 22"),
        Setting("all", "model", model, "V", "Table 20"),
        Setting("all", "task", ("sst2", "rte", "boolq", "wsc", "wic", "squad"), "V", "Table 20"),
        SEED,
        *ROWS,
        Setting(methods, "dtype", "float16", "V", f"{SOURCE}: 16-bit weights"),
        *ICL,
        *MEZO,
        *RATES,
        *budget("mezo-prefix"),
        *PREFIX,
    )
