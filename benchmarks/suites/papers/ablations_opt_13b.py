"""Ablations requested by Addax's reviewers, OPT-13B: checkpointing, D1 only, LoRA, arithmetic, seeds."""

from benchmarks.config.spec import RunSpec
from benchmarks.suites.papers import _addax, _mezo
from benchmarks.suites.papers._paper import SUITE, Paper, Setting, runs

# Each entry is a variant of Addax, IP-SGD, SGD, Adam, or MeZO.
FIRST_ORDER = ("ip-sgd", "ip-sgd-checkpointing", "sgd-checkpointing")
ADDAX = ("addax", "addax-d1-only", "addax-released")
ADAM = ("adam-checkpointing", "adam-lora")
MEZO = ("mezo", "mezo-released")
PAPER = Paper(
    paper="Addax",
    arxiv="2410.06441",
    shows="ablations requested by reviewers",
    model="OPT-13B",
    settings=(
        Setting(
            SUITE,
            "methods",
            ("zero-shot", *ADDAX, "addax-wa", *FIRST_ORDER, *ADAM, *MEZO),
            "V",
            "the reviews: checkpointing, no long examples, Addax-WA; LoRA and arithmetic are ours",
        ),
        Setting(
            SUITE,
            "hardware",
            "one 80 GB GPU; Adam on all weights on five",
            "ours",
            "checkpointing needs less memory",
        ),
        Setting("all", "model", "facebook/opt-13b", "V", "Figure 1"),
        Setting("all", "task", ("boolq", "multirc", "squad"), "ours", "tasks with many long examples"),
        Setting("all", "seed", (0, 1, 2), "V", "the reviews: several seeds; three are our choice"),
        *_mezo.ROWS,
        Setting(
            ("zero-shot", *ADDAX, "addax-wa", *FIRST_ORDER, *MEZO),
            "dtype",
            "bfloat16",
            "ours",
            "the paper runs all methods but Adam in 16 bits [V]; we chose bfloat16",
        ),
        Setting(ADAM, "dtype", "float32", "V", "arXiv 2410.06441: all methods but Adam in 16 bits"),
        Setting("ip-sgd-checkpointing", "method", "ip-sgd", "V", "the reviews"),
        Setting("sgd-checkpointing", "method", "sgd", "V", "the reviews"),
        Setting(("adam-checkpointing", "adam-lora"), "method", "adam", "V", "the reviews; LoRA is ours"),
        Setting(("addax-d1-only", "addax-released", "addax-wa"), "method", "addax", "V", "Algorithm 1"),
        Setting("mezo-released", "method", "mezo", "V", _mezo.SOURCE),
        Setting(
            ("ip-sgd-checkpointing", "sgd-checkpointing", "adam-checkpointing"),
            "gradient_checkpointing",
            True,
            "V",
            "the reviews",
        ),
        Setting("adam-lora", "trainable", "lora:8", "ours", "MeZO's adapters; its peak is close to IP-SGD's"),
        Setting((*ADDAX, "addax-wa", *FIRST_ORDER), "steps", 1000, "R", _addax.RECALLED),
        Setting((*ADDAX, "addax-wa", *FIRST_ORDER), "evaluations", 10, "ours", "every 100 steps"),
        Setting((*ADDAX, "addax-wa", *FIRST_ORDER), "fo_batch_size", 4, "R", "Figure 5 has K1 = 4 [V]"),
        Setting(("addax", "addax-released", "addax-wa"), "zo_batch_size", 6, "R", _addax.RECALLED),
        Setting("addax-d1-only", "zo_batch_size", 0, "V", "the reviews: no long examples"),
        Setting(
            ("addax", "addax-released", "addax-wa"),
            "alpha",
            1e-3,
            "V",
            "default of later code by one of the authors",
        ),
        Setting("addax-d1-only", "alpha", 0.0, "V", "the reviews: alpha = 0"),
        Setting(ADDAX, "length_threshold", "auto:80GB", "ours", "the largest that fits"),
        Setting("addax-wa", "length_threshold", None, "V", "no assignment by length"),
        Setting(("mezo", "mezo-released"), "eps", 1e-3, "V", _mezo.SOURCE),
        Setting(("addax", "addax-released", "addax-wa"), "eps", 1e-3, "R", _addax.RECALLED),
        Setting(("addax-released", "mezo-released"), "arithmetic", "released", "ours", "the released code's"),
        Setting((*ADDAX, "addax-wa", *FIRST_ORDER), "lr", (1e-4, 3e-4, 1e-3, 3e-3), "ours", _addax.EQUAL),
        *_mezo.budget(*MEZO),
        Setting(MEZO, "lr", (1e-7, 2e-7, 5e-7, 1e-6), "ours", _addax.EQUAL),
        Setting(ADAM, "steps", _mezo.epochs(1000), "V", f"{_mezo.SOURCE}: 5 epochs"),
        Setting(ADAM, "evaluations", 5, "ours", "once per epoch"),
        Setting(ADAM, "fo_batch_size", _mezo.BATCH, "V", _mezo.SOURCE),
        Setting(ADAM, "schedule", "linear", "V", _mezo.SOURCE),
        Setting("adam-checkpointing", "lr", (1e-5, 2e-5, 5e-5, 8e-5), "ours", _addax.EQUAL),
        Setting("adam-lora", "lr", (5e-5, 1e-4, 2e-4, 5e-4), "ours", _addax.EQUAL),
    ),
)


def specs() -> list[RunSpec]:
    """Return zero-shot, and four trials of eleven configurations on each of three tasks, with three seeds."""
    return runs(PAPER)
