"""Sensitivity of Addax to alpha x K0, L_T, eps, and the seed, OPT-13B (heat maps)."""

from benchmarks.config.spec import RunSpec
from benchmarks.suites.papers import _addax, _mezo
from benchmarks.suites.papers._paper import SUITE, Paper, Setting, runs

GROUPS = ("alpha-k0", "threshold", "eps")
PAPER = Paper(
    paper="Addax",
    arxiv="2410.06441",
    shows="sensitivity, requested by reviewers",
    model="OPT-13B",
    settings=(
        Setting(SUITE, "methods", GROUPS, "V", "the reviews: alpha, L_T, seed; the others are ours"),
        Setting(SUITE, "hardware", "one 80 GB GPU", "ours", "holds L_T up to the longest example"),
        Setting("all", "model", "facebook/opt-13b", "V", "Figure 1"),
        Setting("all", "task", ("boolq", "squad"), "ours", "tasks with many long examples"),
        Setting("all", "seed", (0, 1, 2), "ours", "three, so that each cell is a mean"),
        *_mezo.ROWS,
        Setting(GROUPS, "method", "addax", "V", "Algorithm 1"),
        Setting(GROUPS, "dtype", "bfloat16", "ours", "16 bits [V]; we chose bfloat16"),
        Setting(GROUPS, "steps", 1000, "R", _addax.RECALLED),
        Setting(GROUPS, "evaluations", 10, "ours", "every 100 steps"),
        Setting(GROUPS, "fo_batch_size", 4, "R", "Figure 5 has K1 = 4 [V]"),
        Setting(GROUPS, "lr", 1e-3, "ours", "the same for all cells"),
        Setting(
            "alpha-k0", "alpha", (1e-4, 3e-4, 1e-3, 3e-3, 1e-2), "R", "a grid from 1e-4 to 1e-2, from memory"
        ),
        Setting("alpha-k0", "zo_batch_size", (2, 6, 12, 24), "ours", "around 6, which is from memory"),
        Setting(
            ("threshold", "eps"),
            "alpha",
            1e-3,
            "V",
            "default of later code by one of the authors",
        ),
        Setting(("threshold", "eps"), "zo_batch_size", 6, "R", _addax.RECALLED),
        Setting(
            ("alpha-k0", "eps"), "length_threshold", "q0.75", "ours", "a quarter of the examples is longer"
        ),
        Setting("threshold", "length_threshold", ("q0.25", "q0.5", "q0.75", "q0.9"), "ours", "quantiles"),
        Setting(("alpha-k0", "threshold"), "eps", 1e-3, "R", _addax.RECALLED),
        Setting("eps", "eps", (1e-4, 1e-3, 1e-2), "ours", "a factor of ten in each direction"),
    ),
)


def specs() -> list[RunSpec]:
    """Return a grid over alpha and K0 and one sweep each of L_T and eps, on two tasks with three seeds."""
    return runs(PAPER)
