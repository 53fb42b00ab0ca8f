"""MeZO, Table 20: OPT-66B on six tasks, with zero-shot, ICL, MeZO, and MeZO (prefix)."""

from benchmarks.config.spec import RunSpec
from benchmarks.suites.papers import _mezo
from benchmarks.suites.papers._paper import Paper, runs

PAPER = Paper(
    paper="MeZO",
    arxiv="2305.17333",
    shows="Table 2/20",
    model="OPT-66B",
    settings=_mezo.larger("facebook/opt-66b", "two 80 GB GPUs (--device auto)"),
)


def specs() -> list[RunSpec]:
    """Return zero-shot, ICL, and MeZO with each of its learning rates, on each task."""
    return runs(PAPER)
