"""MeZO, Table 1: OPT-13B on nine of its eleven tasks: zero-shot, MeZO, MeZO with LoRA, Adam, in its grids."""

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
            "Table 1, of whose rows these are here",
        ),
        Setting(SUITE, "hardware", "one card of 80 GB; Adam on four (--device auto)", "V", "Table 22"),
        Setting("all", "model", "facebook/opt-13b", "V", "Table 1"),
        Setting("all", "task", _mezo.NINE, "V", "Table 1, but COPA and DROP"),
        Setting("all", "seed", 0, "R", "the rows are those of one set seed [V]"),
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
        Setting("adam", "dtype", "float32", "ours", "not said; Table 22 has more than 16 bits take"),
    ),
)


def specs() -> list[RunSpec]:
    """Zero-shot, and each method in the paper's grid, on each task."""
    return runs(PAPER)
