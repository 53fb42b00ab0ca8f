"""A harder task: GSM8K, answers in words, exact match of the final number; Llama-2-7B."""

from benchmarks.config.spec import RunSpec
from benchmarks.suites.papers import _addax, _mezo
from benchmarks.suites.papers._paper import SUITE, Paper, Setting, runs

FIRST = ("ip-sgd", "addax", "addax-wa")
PAPER = Paper(
    paper="Addax",
    arxiv="2410.06441",
    shows="a harder task, as its reviewers asked",
    model=None,
    settings=(
        Setting(
            SUITE,
            "methods",
            ("zero-shot", "mezo", "ip-sgd", "adam-lora", "addax", "addax-wa"),
            "ours",
            "one card",
        ),
        Setting(
            SUITE, "hardware", "one card of 40 GB", "ours", "holds the model in 16 bits, and LoRA in float32"
        ),
        Setting(
            "all", "model", "meta-llama/Llama-2-7b-hf", "ours", "a smaller one of the paper's second family"
        ),
        Setting("all", "task", "gsm8k", "V", "the reviews: harder tasks; which one is our choice"),
        Setting("all", "seed", (0, 1, 2), "ours", "three, for a spread"),
        *_mezo.ROWS,
        Setting(
            ("zero-shot", "mezo", *FIRST, "adam-lora"), "dtype", "bfloat16", "ours", "adapters are in float32"
        ),
        *_mezo.MEZO,
        _addax.MEZO_TRIALS,
        Setting(FIRST, "steps", 1000, "R", _addax.RECALLED),
        Setting(FIRST, "evaluations", 5, "ours", "generation takes long"),
        Setting(FIRST, "fo_batch_size", 4, "R", "K1 = 4 is seen in Figure 5 [V]"),
        Setting(FIRST, "lr", (1e-4, 3e-4, 1e-3, 3e-3), "ours", _addax.EQUAL),
        Setting("addax-wa", "method", "addax", "V", "Algorithm 1"),
        Setting(("addax", "addax-wa"), "zo_batch_size", 6, "R", _addax.RECALLED),
        Setting(("addax", "addax-wa"), "eps", 1e-3, "R", _addax.RECALLED),
        Setting(
            ("addax", "addax-wa"),
            "alpha",
            1e-3,
            "V",
            "what a later code of an author has unless told otherwise",
        ),
        Setting("addax", "length_threshold", "q0.75", "ours", "a quarter of the examples is longer"),
        Setting("addax-wa", "length_threshold", None, "V", "without assignment"),
        Setting("adam-lora", "method", "adam", "ours", "what most would use on one card"),
        Setting("adam-lora", "trainable", "lora:8", "ours", "MeZO's adapters"),
        Setting("adam-lora", "steps", _mezo.epochs(1000), "V", f"{_mezo.SOURCE}: 5 epochs"),
        Setting("adam-lora", "evaluations", 5, "ours", "once an epoch"),
        Setting("adam-lora", "fo_batch_size", _mezo.BATCH, "V", _mezo.SOURCE),
        Setting("adam-lora", "schedule", "linear", "V", _mezo.SOURCE),
        Setting("adam-lora", "lr", (5e-5, 1e-4, 2e-4, 5e-4), "ours", _addax.EQUAL),
    ),
)


def specs() -> list[RunSpec]:
    """Zero-shot, and four trials of five methods, with three seeds."""
    return runs(PAPER)
