"""What Addax's experiments on large models have in common.

The paper's learning rates are not known here. Every method has `TRIALS` trials on each task, of which tables
keep the best on validation: where a method has alpha too, its grid of learning rates is shorter.
"""

from benchmarks.suites.papers._mezo import MEZO, ROWS
from benchmarks.suites.papers._paper import Setting

TRIALS = 4
# Of the nine tasks, those with many examples of hundreds of tokens.
LONG = ("boolq", "multirc", "record", "squad")
RECALLED = "no source at hand"
EQUAL = f"{TRIALS} trials of every method"

SIXTEEN_BITS = Setting(
    ("zero-shot", "mezo", "sgd", "ip-sgd", "addax"),
    "dtype",
    "bfloat16",
    "ours",
    "all but Adam in 16 bits [V], of either kind",
)
FIRST_ORDER = Setting(("sgd", "ip-sgd"), "lr", (1e-4, 3e-4, 1e-3, 3e-3), "ours", f"{EQUAL}, around Addax's")
ADDAX = (
    Setting("addax", "steps", 1000, "R", RECALLED),
    Setting("addax", "evaluations", 10, "ours", "every 100 steps"),
    Setting("addax", "zo_batch_size", 6, "R", RECALLED),
    Setting(
        "addax", "fo_batch_size", 4, "R", "K1 = 4 is seen in Figure 5 [V]; for the tables no source at hand"
    ),
    Setting("addax", "eps", 1e-3, "R", RECALLED),
    Setting("addax", "lr", (1e-4, 1e-3), "ours", f"{EQUAL}: two, times two of alpha"),
    Setting(
        "addax",
        "alpha",
        (1e-4, 1e-3),
        "ours",
        "of the recalled grid from 1e-4 to 1e-2 those at which lr x alpha is in MeZO's range",
    ),
)
SGD = (
    Setting(("sgd", "ip-sgd"), "steps", 1000, "R", RECALLED),
    Setting(("sgd", "ip-sgd"), "evaluations", 10, "ours", "every 100 steps"),
    Setting(("sgd", "ip-sgd"), "fo_batch_size", 4, "ours", "as many examples in a backward pass as Addax's"),
    FIRST_ORDER,
)
MEZO_TRIALS = Setting(
    "mezo", "lr", (1e-7, 2e-7, 5e-7, 1e-6), "ours", f"{EQUAL}: MeZO's 1e-7 and 1e-6 [V], two between"
)
ADAM_TRIALS = (
    Setting("adam", "lr", (1e-5, 2e-5, 5e-5, 8e-5), "ours", f"{EQUAL}: MeZO's three [V], and 2e-5"),
    Setting("adam", "dtype", "float32", "V", "arXiv 2410.06441: all methods but Adam in 16 bits"),
)
# The methods without Adam, which does not fit beside the larger models.
LARGE = (
    Setting("all", "seed", 0, "ours", "as MeZO's tables; `ablations-opt-13b` and others have several"),
    *ROWS,
    SIXTEEN_BITS,
    *MEZO,
    MEZO_TRIALS,
    *SGD,
    *ADDAX,
)


def length_threshold(card: str) -> tuple[Setting, ...]:
    """L_T on the long tasks, and Addax-WA on the others."""
    return (
        Setting("addax", "length_threshold", None, "R", "short tasks run Addax-WA"),
        Setting(
            "addax",
            "length_threshold",
            f"auto:{card}",
            "ours",
            "170 to 320 tokens are recalled, so that K1 fits: this is the largest that does",
            {"task": LONG},
        ),
    )


# Over several cards, of which no budget of memory is one.
SHARDED = (
    Setting("addax", "length_threshold", None, "R", "short tasks run Addax-WA"),
    Setting(
        "addax",
        "length_threshold",
        "q0.75",
        "ours",
        "170 to 320 tokens are recalled; in every task a quarter of the examples is longer than this",
        {"task": LONG},
    ),
)
