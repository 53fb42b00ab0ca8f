"""Addax, Llama-2-70B: nine tasks, the model sharded over several cards (--device auto)."""

from benchmarks.config.spec import RunSpec
from benchmarks.suites import _addax, _mezo
from benchmarks.suites._paper import Paper, Stated, runs

PAPER = Paper(
    paper="Addax",
    arxiv="2410.06441",
    shows="the table of Llama-2-70B",
    model=None,
    stated=(
        Stated(
            "methods", ("zero-shot", "mezo", "sgd", "ip-sgd", "addax"), "ours",
            "those of Figure 1 but Adam, which needs several machines",
        ),
        Stated("hardware", "three cards of 80 GB, --device auto", "ours", "the weights alone are 138 GB"),
        Stated("all.model", "meta-llama/Llama-2-70b-hf", "V", "the model is seen in the paper"),
        Stated("all.task", _mezo.NINE, "R", "as for OPT-13B, where their number is seen [V]"),
        *_addax.LARGE,
        *_addax.SHARDED,
    ),
)  # fmt: skip


def specs() -> list[RunSpec]:
    """Zero-shot, and four trials of four methods on each task."""
    return runs(PAPER)
