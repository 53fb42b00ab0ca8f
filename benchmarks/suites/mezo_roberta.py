"""MeZO, Table 18: RoBERTa-large with 16 and 512 shots, five seeds: zero-shot, MeZO, Adam, LoRA."""

from benchmarks.config.spec import RunSpec
from benchmarks.suites import _roberta
from benchmarks.suites._mezo import SOURCE
from benchmarks.suites._paper import Paper, Stated, runs

PAPER = Paper(
    paper="MeZO",
    arxiv="2305.17333",
    shows="Table 18",
    model="RoBERTa-large k={shots}",
    stated=(
        Stated(
            "methods", ("zero-shot", "mezo", "mezo-lora", "adam", "adam-lora"), "V",
            "Table 18, of whose rows these are here",
        ),
        Stated("hardware", "one card of 24 GB", "ours", "the fewest that all methods fit on"),
        *_roberta.COMMON,
        Stated("mezo,mezo-lora.steps", 100_000, "V", SOURCE),
        Stated("mezo,mezo-lora.evaluations", 10, "ours", "every 10,000 steps"),
        Stated("mezo,mezo-lora.zo_batch_size", 64, "V", SOURCE),
        Stated("mezo,mezo-lora.eps", 1e-3, "V", f"{SOURCE}; of LoRA no source at hand"),
        Stated("mezo.lr", (1e-7, 1e-6, 1e-5), "V", SOURCE),
        Stated("mezo-lora.method", "mezo", "V", SOURCE),
        Stated("mezo-lora,adam-lora.trainable", "lora:8", "V", f"{SOURCE}: queries and values, alpha 16"),
        Stated("mezo-lora.lr", (1e-5, 5e-5, 1e-4), "R", "no source at hand"),
        *_roberta.adam("adam,adam-lora"),
        Stated("adam.lr", (1e-5, 3e-5, 5e-5), "V", SOURCE),
        Stated("adam-lora.method", "adam", "V", SOURCE),
        Stated("adam-lora.lr", (1e-4, 3e-4, 5e-4), "R", "no source at hand"),
    ),
)  # fmt: skip


def specs() -> list[RunSpec]:
    """Zero-shot, and each method in its grid, on each task, with each number of shots and each seed."""
    return _roberta.possible(runs(PAPER))
