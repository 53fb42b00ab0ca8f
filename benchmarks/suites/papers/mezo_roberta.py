"""MeZO, Table 18: RoBERTa-large with 16 and 512 shots, five seeds: zero-shot, MeZO, Adam, LoRA."""

from benchmarks.config.spec import RunSpec
from benchmarks.suites.papers import _roberta
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
            "Table 18, of whose rows these are here",
        ),
        Setting(SUITE, "hardware", "one card of 24 GB", "ours", "the fewest that all methods fit on"),
        *_roberta.COMMON,
        Setting(("mezo", "mezo-lora"), "steps", 100_000, "V", SOURCE),
        Setting(("mezo", "mezo-lora"), "evaluations", 10, "ours", "every 10,000 steps"),
        Setting(("mezo", "mezo-lora"), "zo_batch_size", 64, "V", SOURCE),
        Setting(("mezo", "mezo-lora"), "eps", 1e-3, "V", f"{SOURCE}; of LoRA no source at hand"),
        Setting("mezo", "lr", (1e-7, 1e-6, 1e-5), "V", SOURCE),
        Setting("mezo-lora", "method", "mezo", "V", SOURCE),
        Setting(
            ("mezo-lora", "adam-lora"), "trainable", "lora:8", "V", f"{SOURCE}: queries and values, alpha 16"
        ),
        Setting("mezo-lora", "lr", (1e-5, 5e-5, 1e-4), "R", "no source at hand"),
        *_roberta.adam("adam", "adam-lora"),
        Setting("adam", "lr", (1e-5, 3e-5, 5e-5), "V", SOURCE),
        Setting("adam-lora", "method", "adam", "V", SOURCE),
        Setting("adam-lora", "lr", (1e-4, 3e-4, 5e-4), "R", "no source at hand"),
    ),
)


def specs() -> list[RunSpec]:
    """Zero-shot, and each method in its grid, on each task, with each number of shots and each seed."""
    return _roberta.possible(runs(PAPER))
