"""Addax, Figure 5 right: accuracy against K0 at K1 = 4, OPT-13B (K0 = 0 is IP-SGD)."""

from benchmarks.config.spec import RunSpec
from benchmarks.suites.papers import _addax, _mezo
from benchmarks.suites.papers._paper import SUITE, Paper, Setting, runs

PAPER = Paper(
    paper="Addax",
    arxiv="2410.06441",
    shows="Figure 5 right",
    model="OPT-13B",
    settings=(
        Setting(SUITE, "methods", ("ip-sgd", "addax"), "V", "caption"),
        Setting(SUITE, "hardware", "one 40 GB GPU", "V", "abstract and captions"),
        Setting("all", "model", "facebook/opt-13b", "V", "caption"),
        Setting("all", "task", ("sst2", "rte"), "ours", "we do not know the figure's task"),
        Setting("all", "seed", (0, 1, 2), "ours", "three, to show the spread"),
        *_mezo.ROWS,
        Setting(
            ("ip-sgd", "addax"), "dtype", "bfloat16", "ours", "the paper uses 16 bits [V]; we chose bfloat16"
        ),
        Setting(("ip-sgd", "addax"), "steps", 1000, "R", _addax.RECALLED),
        Setting(("ip-sgd", "addax"), "evaluations", 10, "ours", "every 100 steps"),
        Setting(("ip-sgd", "addax"), "fo_batch_size", 4, "V", "caption"),
        Setting(
            "addax", "zo_batch_size", (2, 4, 8, 12, 16), "V", "caption: up to 16; the values between are ours"
        ),
        Setting("addax", "length_threshold", None, "R", "short tasks use Addax-WA"),
        Setting("addax", "eps", 1e-3, "R", _addax.RECALLED),
        Setting("addax", "alpha", 1e-3, "V", "default of later code by one of the authors"),
        Setting(("ip-sgd", "addax"), "lr", (1e-4, 3e-4, 1e-3, 3e-3), "ours", _addax.EQUAL),
    ),
)


def specs() -> list[RunSpec]:
    """Return four trials of IP-SGD and of Addax-WA at five values of K0, on two tasks with three seeds."""
    return runs(PAPER)
