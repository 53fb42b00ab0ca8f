"""MeZO, Table 1: OPT-13B on eleven tasks, with zero-shot, ICL, MeZO, MeZO (LoRA), MeZO (prefix), and Adam.

Linear probing (LP) is left out: it trains a classifier of another kind on stored features.
"""

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
            ("zero-shot", "icl", "mezo", "mezo-lora", "mezo-prefix", "adam"),
            "V",
            "the rows of Table 1 without linear probing (LP)",
        ),
        Setting(SUITE, "hardware", "one 80 GB GPU; Adam on four (--device auto)", "V", "Table 22"),
        Setting("all", "model", "facebook/opt-13b", "V", "Table 1"),
        Setting("all", "task", _mezo.ELEVEN, "V", "Table 1"),
        _mezo.SEED,
        *_mezo.ROWS,
        Setting(
            ("zero-shot", "icl", "mezo", "mezo-lora", "mezo-prefix"),
            "dtype",
            "float16",
            "V",
            f"{SOURCE}: 16-bit weights",
        ),
        *_mezo.ICL,
        *_mezo.budget("mezo", "mezo-lora", "mezo-prefix"),
        Setting("mezo", "eps", 1e-3, "V", SOURCE),
        *_mezo.RATES,
        Setting("mezo-lora", "method", "mezo", "V", SOURCE),
        Setting("mezo-lora", "trainable", "lora:8", "V", f"{SOURCE}: queries and values, alpha 16"),
        Setting("mezo-lora", "lr", (1e-4, 5e-5), "V", SOURCE),
        Setting("mezo-lora", "eps", 1e-2, "V", SOURCE),
        *_mezo.PREFIX,
        *_mezo.ADAM,
        Setting(
            "adam",
            "steps",
            _mezo.epochs(300),
            "D",
            "5 epochs of COPA's 400 rows without 100 for validation",
            {"task": ("copa",)},
        ),
        Setting("adam", "lr", (1e-5, 5e-5, 8e-5), "V", SOURCE),
        Setting(
            "adam", "dtype", "float32", "ours", "not stated; the memory in Table 22 exceeds that of 16 bits"
        ),
    ),
)


def specs() -> list[RunSpec]:
    """Return zero-shot, ICL, and each method with every point of its grid, on each task."""
    return runs(PAPER)
