"""How much Addax depends on alpha x K0, L_T, eps and the seed: heat maps, OPT-13B."""

from benchmarks.config.spec import RunSpec
from benchmarks.suites.papers import _addax, _mezo
from benchmarks.suites.papers._paper import SUITE, Paper, Setting, runs

GROUPS = ("alpha-k0", "threshold", "eps")
PAPER = Paper(
    paper="Addax",
    arxiv="2410.06441",
    shows="what its reviewers asked on sensitivity",
    model="OPT-13B",
    settings=(
        Setting(SUITE, "methods", GROUPS, "V", "the reviews: alpha, L_T, seed; others ours"),
        Setting(SUITE, "hardware", "one card of 80 GB", "ours", "L_T up to the longest example"),
        Setting("all", "model", "facebook/opt-13b", "V", "Figure 1"),
        Setting("all", "task", ("boolq", "squad"), "ours", "tasks with many long examples"),
        Setting("all", "seed", (0, 1, 2), "ours", "three, so that a cell is a mean"),
        *_mezo.ROWS,
        Setting(GROUPS, "method", "addax", "V", "Algorithm 1"),
        Setting(GROUPS, "dtype", "bfloat16", "ours", "16 bits [V], of either kind"),
        Setting(GROUPS, "steps", 1000, "R", _addax.RECALLED),
        Setting(GROUPS, "evaluations", 10, "ours", "every 100 steps"),
        Setting(GROUPS, "fo_batch_size", 4, "R", "K1 = 4 is seen in Figure 5 [V]"),
        Setting(GROUPS, "lr", 1e-3, "ours", "one for all cells"),
        Setting(
            "alpha-k0", "alpha", (1e-4, 3e-4, 1e-3, 3e-3, 1e-2), "R", "the recalled grid from 1e-4 to 1e-2"
        ),
        Setting("alpha-k0", "zo_batch_size", (2, 6, 12, 24), "ours", "around the recalled 6"),
        Setting(
            ("threshold", "eps"),
            "alpha",
            1e-3,
            "V",
            "what a later code of an author has unless told otherwise",
        ),
        Setting(("threshold", "eps"), "zo_batch_size", 6, "R", _addax.RECALLED),
        Setting(
            ("alpha-k0", "eps"), "length_threshold", "q0.75", "ours", "a quarter of the examples is longer"
        ),
        Setting("threshold", "length_threshold", ("q0.25", "q0.5", "q0.75", "q0.9"), "ours", "quantiles"),
        Setting(("alpha-k0", "threshold"), "eps", 1e-3, "R", _addax.RECALLED),
        Setting("eps", "eps", (1e-4, 1e-3, 1e-2), "ours", "a factor of ten to either side"),
    ),
)


def specs() -> list[RunSpec]:
    """A grid of alpha and K0, and a line each of L_T and eps, on two tasks with three seeds."""
    return runs(PAPER)
