"""Addax, Figure 2 and its table: OPT-30B on nine tasks; every method on one 80 GB GPU."""

from benchmarks.config.spec import RunSpec
from benchmarks.suites.papers import _addax, _mezo
from benchmarks.suites.papers._paper import SUITE, Paper, Setting, runs

PAPER = Paper(
    paper="Addax",
    arxiv="2410.06441",
    shows="Figure 2 and the table of OPT-30B",
    model="OPT-30B",
    settings=(
        Setting(
            SUITE,
            "methods",
            ("zero-shot", "mezo", "sgd", "ip-sgd", "addax"),
            "ours",
            "those of Figure 1 without Adam, which needs several machines",
        ),
        Setting(SUITE, "hardware", "one 80 GB H100", "V", "abstract and captions"),
        Setting("all", "model", "facebook/opt-30b", "V", "Figure 2"),
        Setting("all", "task", _mezo.NINE, "R", "the same as for OPT-13B, for which the paper says nine [V]"),
        *_addax.LARGE,
        *_addax.length_threshold("80GB"),
    ),
)


def specs() -> list[RunSpec]:
    """Return zero-shot, and four trials of four methods on each task."""
    return runs(PAPER)
