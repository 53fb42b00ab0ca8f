"""MeZO, Table 1: OPT-13B on nine of the eleven tasks, with zero-shot, MeZO, MeZO (LoRA), and Adam."""

from benchmarks.config.spec import RunSpec
from benchmarks.suites.papers import _mezo
from benchmarks.suites.papers._mezo import SOURCE
from benchmarks.suites.papers._paper import SUITE, Paper, Setting, runs

PAPER = Paper(
    paper="MeZO",
    arxiv="2305.17333",
    shows="Table 1",
    model="OPT-13B",
    settings=(
        Setting(
            SUITE,
            "methods",
            ("zero-shot", "mezo", "mezo-lora", "adam"),
            "V",
            "a subset of the rows of Table 1",
        ),
        Setting(SUITE, "hardware", "one 80 GB GPU; Adam on four (--device auto)", "V", "Table 22"),
        Setting("all", "model", "facebook/opt-13b", "V", "Table 1"),
        Setting("all", "task", _mezo.NINE, "V", "Table 1 without COPA and DROP"),
        Setting(
            "all", "seed", 0, "R", "the paper uses one fixed seed for the rows [V]; its value is from memory"
        ),
        *_mezo.ROWS,
        Setting(("zero-shot", "mezo", "mezo-lora"), "dtype", "float16", "V", f"{SOURCE}: 16-bit weights"),
        *_mezo.budget("mezo", "mezo-lora"),
        Setting("mezo", "eps", 1e-3, "V", SOURCE),
        Setting("mezo", "lr", (1e-6, 1e-7), "V", SOURCE),
        Setting("mezo", "lr", (1e-6, 5e-7, 1e-7), "V", SOURCE, {"task": ("squad",)}),
        Setting("mezo-lora", "method", "mezo", "V", SOURCE),
        Setting("mezo-lora", "trainable", "lora:8", "V", f"{SOURCE}: queries and values, alpha 16"),
        Setting("mezo-lora", "lr", (1e-4, 5e-5), "V", SOURCE),
        Setting("mezo-lora", "eps", 1e-2, "V", SOURCE),
        *_mezo.ADAM,
        Setting("adam", "lr", (1e-5, 5e-5, 8e-5), "V", SOURCE),
        Setting(
            "adam", "dtype", "float32", "ours", "not stated; the memory in Table 22 exceeds that of 16 bits"
        ),
    ),
)


def specs() -> list[RunSpec]:
    """Return zero-shot, and each method with every point of its grid, on each task."""
    return runs(PAPER)
