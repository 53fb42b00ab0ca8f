"""A harder task requested by Addax's reviewers: GSM8K with generated answers and exact match, Llama-2-7B."""

from benchmarks.config.spec import RunSpec
from benchmarks.suites.papers import _addax, _mezo
from benchmarks.suites.papers._paper import SUITE, Paper, Setting, runs

FIRST = ("ip-sgd", "addax", "addax-wa")
PAPER = Paper(
    paper="Addax",
    arxiv="2410.06441",
    shows="a harder task requested by reviewers",
    model=None,
    settings=(
        Setting(
            SUITE,
            "methods",
            ("zero-shot", "mezo", "ip-sgd", "adam-lora", "addax", "addax-wa"),
            "ours",
            "the methods that fit on one GPU",
        ),
        Setting(SUITE, "hardware", "one 40 GB GPU", "ours", "holds the model in 16 bits and LoRA in float32"),
        Setting(
            "all", "model", "meta-llama/Llama-2-7b-hf", "ours", "a smaller model of the paper's second family"
        ),
        Setting("all", "task", "gsm8k", "V", "the reviews: harder tasks; this task is our choice"),
        Setting("all", "seed", (0, 1, 2), "ours", "three, to show the spread"),
        *_mezo.ROWS,
        Setting(
            ("zero-shot", "mezo", *FIRST, "adam-lora"), "dtype", "bfloat16", "ours", "adapters are in float32"
        ),
        *_mezo.MEZO,
        _addax.MEZO_TRIALS,
        Setting(FIRST, "steps", 1000, "R", _addax.RECALLED),
        Setting(FIRST, "evaluations", 5, "ours", "generation takes long"),
        Setting(FIRST, "fo_batch_size", 4, "R", "Figure 5 has K1 = 4 [V]"),
        Setting(FIRST, "lr", (1e-4, 3e-4, 1e-3, 3e-3), "ours", _addax.EQUAL),
        Setting("addax-wa", "method", "addax", "V", "Algorithm 1"),
        Setting(("addax", "addax-wa"), "zo_batch_size", 6, "R", _addax.RECALLED),
        Setting(("addax", "addax-wa"), "eps", 1e-3, "R", _addax.RECALLED),
        Setting(
            ("addax", "addax-wa"),
            "alpha",
            1e-3,
            "V",
            "default of later code by one of the authors",
        ),
        Setting("addax", "length_threshold", "q0.75", "ours", "a quarter of the examples is longer"),
        Setting("addax-wa", "length_threshold", None, "V", "no assignment by length"),
        Setting("adam-lora", "method", "adam", "ours", "the most common choice on one GPU"),
        Setting("adam-lora", "trainable", "lora:8", "ours", "MeZO's adapters"),
        Setting("adam-lora", "steps", _mezo.epochs(1000), "V", f"{_mezo.SOURCE}: 5 epochs"),
        Setting("adam-lora", "evaluations", 5, "ours", "once per epoch"),
        Setting("adam-lora", "fo_batch_size", _mezo.BATCH, "V", _mezo.SOURCE),
        Setting("adam-lora", "schedule", "linear", "V", _mezo.SOURCE),
        Setting("adam-lora", "lr", (5e-5, 1e-4, 2e-4, 5e-4), "ours", _addax.EQUAL),
    ),
)


def specs() -> list[RunSpec]:
    """Return zero-shot, and four trials of five methods, with three seeds."""
    return runs(PAPER)
