"""MeZO, Table 20: OPT-30B on six tasks, with zero-shot, ICL, MeZO, and MeZO (prefix)."""

from benchmarks.config.spec import RunSpec
from benchmarks.suites.papers import _mezo
from benchmarks.suites.papers._paper import Paper, runs

PAPER = Paper(
    paper="MeZO",
    arxiv="2305.17333",
    shows="Table 2/20",
    model="OPT-30B",
    settings=_mezo.larger("facebook/opt-30b", "one 80 GB GPU"),
)


def specs() -> list[RunSpec]:
    """Return zero-shot, ICL, and MeZO with each of its learning rates, on each task."""
    return runs(PAPER)
