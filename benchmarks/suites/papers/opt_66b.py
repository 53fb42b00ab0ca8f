"""Addax, table of OPT-66B: nine tasks, with the model sharded over several GPUs (--device auto)."""

from benchmarks.config.spec import RunSpec
from benchmarks.suites.papers import _addax, _mezo
from benchmarks.suites.papers._paper import SUITE, Paper, Setting, runs

PAPER = Paper(
    paper="Addax",
    arxiv="2410.06441",
    shows="the table of OPT-66B",
    model="OPT-66B",
    settings=(
        Setting(
            SUITE,
            "methods",
            ("zero-shot", "mezo", "sgd", "ip-sgd", "addax"),
            "ours",
            "those of Figure 1 without Adam, which needs several machines",
        ),
        Setting(SUITE, "hardware", "three 80 GB GPUs, --device auto", "ours", "the weights alone are 132 GB"),
        Setting("all", "model", "facebook/opt-66b", "V", "the paper has this model"),
        Setting("all", "task", _mezo.NINE, "R", "the same as for OPT-13B, for which the paper says nine [V]"),
        *_addax.LARGE,
        *_addax.SHARDED,
    ),
)


def specs() -> list[RunSpec]:
    """Return zero-shot, and four trials of four methods on each task."""
    return runs(PAPER)
