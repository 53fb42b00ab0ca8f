"""Addax, Figure 1 and its table: OPT-13B on nine tasks; on one 40 GB GPU, except SGD and Adam."""

from benchmarks.config.spec import RunSpec
from benchmarks.suites.papers import _addax, _mezo
from benchmarks.suites.papers._paper import SUITE, Paper, Setting, runs

MODEL = "facebook/opt-13b"
PAPER = Paper(
    paper="Addax",
    arxiv="2410.06441",
    shows="Figure 1 and the table of OPT-13B",
    model="OPT-13B",
    settings=(
        Setting(SUITE, "methods", ("zero-shot", "mezo", "sgd", "ip-sgd", "adam", "addax"), "V", "Figure 1"),
        Setting(SUITE, "hardware", "one 40 GB A100; Adam on five", "V", "abstract and captions"),
        Setting("all", "model", MODEL, "V", "Figure 1"),
        Setting("all", "task", _mezo.NINE, "R", "from memory; the paper says nine [V]"),
        *_addax.LARGE,
        *_addax.length_threshold("40GB"),
        *_mezo.ADAM,
        *_addax.ADAM_TRIALS,
    ),
)


def specs() -> list[RunSpec]:
    """Return zero-shot, and four trials of five methods on each task."""
    return runs(PAPER)
