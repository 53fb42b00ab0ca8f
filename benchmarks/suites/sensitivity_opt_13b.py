"""How much Addax depends on alpha x K0, L_T, eps and the seed: heat maps, OPT-13B."""

from benchmarks.config.spec import RunSpec
from benchmarks.suites import _addax, _mezo
from benchmarks.suites._paper import Paper, Stated, runs

GROUPS = "alpha-k0,threshold,eps"
PAPER = Paper(
    paper="Addax",
    arxiv="2410.06441",
    shows="what its reviewers asked on sensitivity",
    model="OPT-13B",
    stated=(
        Stated("methods", tuple(GROUPS.split(",")), "V", "the reviews: alpha, L_T, seed; others ours"),
        Stated("hardware", "one card of 80 GB", "ours", "L_T up to the longest example"),
        Stated("all.model", "facebook/opt-13b", "V", "Figure 1"),
        Stated("all.task", ("boolq", "squad"), "ours", "tasks with many long examples"),
        Stated("all.seed", (0, 1, 2), "ours", "three, so that a cell is a mean"),
        *_mezo.ROWS,
        Stated(f"{GROUPS}.method", "addax", "V", "Algorithm 1"),
        Stated(f"{GROUPS}.dtype", "bfloat16", "ours", "16 bits [V], of either kind"),
        Stated(f"{GROUPS}.steps", 1000, "R", _addax.RECALLED),
        Stated(f"{GROUPS}.evaluations", 10, "ours", "every 100 steps"),
        Stated(f"{GROUPS}.fo_batch_size", 4, "R", "K1 = 4 is seen in Figure 5 [V]"),
        Stated(f"{GROUPS}.lr", 1e-3, "ours", "one for all cells"),
        Stated("alpha-k0.alpha", (1e-4, 3e-4, 1e-3, 3e-3, 1e-2), "R", "the recalled grid from 1e-4 to 1e-2"),
        Stated("alpha-k0.zo_batch_size", (2, 6, 12, 24), "ours", "around the recalled 6"),
        Stated("threshold,eps.alpha", 1e-3, "V", "what a later code of an author has unless told otherwise"),
        Stated("threshold,eps.zo_batch_size", 6, "R", _addax.RECALLED),
        Stated("alpha-k0,eps.length_threshold", "q0.75", "ours", "a quarter of the examples is longer"),
        Stated("threshold.length_threshold", ("q0.25", "q0.5", "q0.75", "q0.9"), "ours", "quantiles"),
        Stated("alpha-k0,threshold.eps", 1e-3, "R", _addax.RECALLED),
        Stated("eps.eps", (1e-4, 1e-3, 1e-2), "ours", "a factor of ten to either side"),
    ),
)


def specs() -> list[RunSpec]:
    """A grid of alpha and K0, and a line each of L_T and eps, on two tasks with three seeds."""
    return runs(PAPER)
