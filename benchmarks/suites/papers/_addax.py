"""Settings shared by Addax's experiments on large models.

We do not know the paper's learning rates. Every method therefore gets `TRIALS` trials per task, and tables
use the trial that is best on validation. A method whose alpha is also tuned has fewer learning rates.
"""

from benchmarks.suites.papers._mezo import MEZO, ROWS
from benchmarks.suites.papers._paper import Setting

TRIALS = 4
# The tasks with many examples of hundreds of tokens.
LONG = ("boolq", "multirc", "record", "squad")
RECALLED = "from memory, not verified in a source"
EQUAL = f"{TRIALS} trials per method"

SIXTEEN_BITS = Setting(
    ("zero-shot", "mezo", "sgd", "ip-sgd", "addax"),
    "dtype",
    "bfloat16",
    "ours",
    "the paper runs all methods but Adam in 16 bits [V]; we chose bfloat16",
)
FIRST_ORDER = Setting(
    ("sgd", "ip-sgd"), "lr", (1e-4, 3e-4, 1e-3, 3e-3), "ours", f"{EQUAL}, around Addax's values"
)
ADDAX = (
    Setting("addax", "steps", 1000, "R", RECALLED),
    Setting("addax", "evaluations", 10, "ours", "every 100 steps"),
    Setting("addax", "zo_batch_size", 6, "R", RECALLED),
    Setting("addax", "fo_batch_size", 4, "R", "Figure 5 has K1 = 4 [V]; not verified for the tables"),
    Setting("addax", "eps", 1e-3, "R", RECALLED),
    Setting("addax", "lr", (1e-4, 1e-3), "ours", f"{EQUAL}: two learning rates times two values of alpha"),
    Setting(
        "addax",
        "alpha",
        (1e-4, 1e-3),
        "ours",
        "the values of a grid from 1e-4 to 1e-2 (from memory) for which lr x alpha is in MeZO's range",
    ),
)
SGD = (
    Setting(("sgd", "ip-sgd"), "steps", 1000, "R", RECALLED),
    Setting(("sgd", "ip-sgd"), "evaluations", 10, "ours", "every 100 steps"),
    Setting(("sgd", "ip-sgd"), "fo_batch_size", 4, "ours", "as many examples per backward pass as Addax"),
    FIRST_ORDER,
)
MEZO_TRIALS = Setting(
    "mezo",
    "lr",
    (1e-7, 2e-7, 5e-7, 1e-6),
    "ours",
    f"{EQUAL}: MeZO's 1e-7 and 1e-6 [V] and two values between them",
)
ADAM_TRIALS = (
    Setting("adam", "lr", (1e-5, 2e-5, 5e-5, 8e-5), "ours", f"{EQUAL}: MeZO's three values [V] and 2e-5"),
    Setting("adam", "dtype", "float32", "V", "arXiv 2410.06441: all methods but Adam in 16 bits"),
)
# The methods except Adam, which does not fit on the GPUs for the larger models.
LARGE = (
    Setting(
        "all", "seed", 0, "ours", "one seed, like MeZO's tables; `ablations-opt-13b` and others have several"
    ),
    *ROWS,
    SIXTEEN_BITS,
    *MEZO,
    MEZO_TRIALS,
    *SGD,
    *ADDAX,
)


def length_threshold(card: str) -> tuple[Setting, ...]:
    """Return the settings of L_T: the largest that fits on the GPU for long tasks, none for short tasks."""
    return (
        Setting("addax", "length_threshold", None, "R", "short tasks run Addax-WA"),
        Setting(
            "addax",
            "length_threshold",
            f"auto:{card}",
            "ours",
            "the largest L_T at which K1 fits; the paper's was 170 to 320 tokens (from memory)",
            {"task": LONG},
        ),
    )


# For models sharded over several GPUs, which do not support auto:<memory>.
SHARDED = (
    Setting("addax", "length_threshold", None, "R", "short tasks run Addax-WA"),
    Setting(
        "addax",
        "length_threshold",
        "q0.75",
        "ours",
        "a quarter of each task's examples is longer; the paper's L_T was 170 to 320 tokens (from memory)",
        {"task": LONG},
    ),
)
