"""Addax, Figure 11, OPT-13B: Addax-WA and MeZO at equal batch sizes; Addax and SGD with batch size 4 x K1."""

from benchmarks.config.spec import RunSpec
from benchmarks.suites.papers import _addax, _mezo
from benchmarks.suites.papers._paper import SUITE, Paper, Setting, runs

BATCH, K1 = 16, 4
PAPER = Paper(
    paper="Addax",
    arxiv="2410.06441",
    shows="Figure 11",
    model="OPT-13B",
    settings=(
        Setting(SUITE, "methods", ("addax-wa", "mezo", "addax", "sgd"), "V", "caption"),
        Setting(SUITE, "hardware", "one 80 GB GPU", "ours", "SGD's gradients do not fit on 40 GB"),
        Setting("all", "model", "facebook/opt-13b", "V", "caption"),
        Setting(
            "all",
            "task",
            ("rte", "boolq"),
            "ours",
            "a short task and a long one; we do not know the figure's tasks",
        ),
        Setting("all", "seed", (0, 1, 2), "ours", "three, to show the spread"),
        *_mezo.ROWS,
        Setting(
            ("addax-wa", "mezo", "addax", "sgd"),
            "dtype",
            "bfloat16",
            "ours",
            "16 bits [V]; we chose bfloat16",
        ),
        Setting("mezo", "steps", 20_000, "V", _mezo.SOURCE),
        Setting(("addax-wa", "addax", "sgd"), "steps", 1000, "R", _addax.RECALLED),
        Setting(("addax-wa", "mezo", "addax", "sgd"), "evaluations", 20, "ours", "enough points for a curve"),
        Setting(("addax-wa", "addax"), "method", "addax", "V", "Algorithm 1"),
        Setting("addax-wa", "zo_batch_size", BATCH - K1, "D", "K0 + K1 is MeZO's batch size"),
        Setting("addax", "zo_batch_size", 6, "R", _addax.RECALLED),
        Setting(("addax-wa", "addax"), "fo_batch_size", K1, "D", f"a quarter of SGD's {BATCH}"),
        Setting("mezo", "zo_batch_size", BATCH, "V", _mezo.SOURCE),
        Setting("sgd", "fo_batch_size", BATCH, "D", "4x Addax's K1 of 4"),
        Setting("addax-wa", "length_threshold", None, "V", "no assignment by length"),
        Setting("addax", "length_threshold", "q0.75", "ours", "a quarter of each task's examples is longer"),
        Setting(("addax-wa", "mezo", "addax"), "eps", 1e-3, "V", f"{_mezo.SOURCE}; for Addax from memory"),
        Setting(
            ("addax-wa", "addax"),
            "alpha",
            1e-3,
            "V",
            "default of later code by one of the authors",
        ),
        Setting(("addax-wa", "addax", "sgd"), "lr", (1e-4, 3e-4, 1e-3, 3e-3), "ours", _addax.EQUAL),
        _addax.MEZO_TRIALS,
    ),
)


def specs() -> list[RunSpec]:
    """Return four trials of four methods on two tasks with three seeds."""
    return runs(PAPER)
