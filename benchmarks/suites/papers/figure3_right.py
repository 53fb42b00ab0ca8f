"""Addax, Figure 3 right: accuracy and memory of IP-SGD with small batches and of Adam, OPT-13B."""

from benchmarks.config.spec import RunSpec
from benchmarks.suites.papers import _addax, _mezo
from benchmarks.suites.papers._paper import SUITE, Paper, Setting, runs

PAPER = Paper(
    paper="Addax",
    arxiv="2410.06441",
    shows="Figure 3 right",
    model="OPT-13B",
    settings=(
        Setting(SUITE, "methods", ("ip-sgd", "adam"), "V", "caption"),
        Setting(SUITE, "hardware", "one 80 GB GPU; Adam on five", "V", "abstract and captions"),
        Setting("all", "model", "facebook/opt-13b", "V", "caption"),
        Setting("all", "task", ("sst2", "rte", "boolq"), "ours", "we do not know the figure's tasks"),
        Setting("all", "seed", (0, 1, 2), "ours", "three, to show the spread"),
        *_mezo.ROWS,
        Setting("ip-sgd", "dtype", "bfloat16", "ours", "the paper uses 16 bits [V]; we chose bfloat16"),
        Setting("ip-sgd", "steps", 1000, "R", _addax.RECALLED),
        Setting("ip-sgd", "evaluations", 10, "ours", "every 100 steps"),
        Setting("ip-sgd", "fo_batch_size", (2, 4, 8), "ours", "small batches [V]; we do not know the sizes"),
        Setting("ip-sgd", "lr", (1e-4, 3e-4, 1e-3, 3e-3), "ours", _addax.EQUAL),
        *_mezo.ADAM,
        *_addax.ADAM_TRIALS,
    ),
)


def specs() -> list[RunSpec]:
    """Return four trials of Adam and of IP-SGD at three batch sizes, on three tasks with three seeds."""
    return runs(PAPER)
