"""MeZO, Table 18: RoBERTa-large, 16 and 512 shots, five seeds, with zero-shot, MeZO, Adam, and LoRA."""

from benchmarks.config.spec import RunSpec
from benchmarks.suites.papers import _roberta
from benchmarks.suites.papers._addax import RECALLED
from benchmarks.suites.papers._mezo import SOURCE
from benchmarks.suites.papers._paper import SUITE, Paper, Setting, runs

PAPER = Paper(
    paper="MeZO",
    arxiv="2305.17333",
    shows="Table 18",
    model="RoBERTa-large k={shots}",
    settings=(
        Setting(
            SUITE,
            "methods",
            ("zero-shot", "mezo", "mezo-lora", "adam", "adam-lora"),
            "V",
            "a subset of the rows of Table 18",
        ),
        Setting(SUITE, "hardware", "one 24 GB GPU", "ours", "the smallest GPU on which all methods fit"),
        *_roberta.COMMON,
        Setting(("mezo", "mezo-lora"), "steps", 100_000, "V", SOURCE),
        Setting(("mezo", "mezo-lora"), "evaluations", 10, "ours", "every 10,000 steps"),
        Setting(("mezo", "mezo-lora"), "zo_batch_size", 64, "V", SOURCE),
        Setting(("mezo", "mezo-lora"), "eps", 1e-3, "V", f"{SOURCE}; not verified for LoRA"),
        Setting("mezo", "lr", (1e-7, 1e-6, 1e-5), "V", SOURCE),
        Setting("mezo-lora", "method", "mezo", "V", SOURCE),
        Setting(
            ("mezo-lora", "adam-lora"), "trainable", "lora:8", "V", f"{SOURCE}: queries and values, alpha 16"
        ),
        Setting("mezo-lora", "lr", (1e-5, 5e-5, 1e-4), "R", RECALLED),
        *_roberta.adam("adam", "adam-lora"),
        Setting("adam", "lr", (1e-5, 3e-5, 5e-5), "V", SOURCE),
        Setting("adam-lora", "method", "adam", "V", SOURCE),
        Setting("adam-lora", "lr", (1e-4, 3e-4, 5e-4), "R", RECALLED),
    ),
)


def specs() -> list[RunSpec]:
    """Return zero-shot and every point of each method's grid, for each task, number of shots, and seed."""
    return _roberta.possible(runs(PAPER))
