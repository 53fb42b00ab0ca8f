"""Peak memory against the batch size, OPT-13B: MeZO, IP-SGD, and Addax whose zeroth-order batch has it.

Without and with gradient checkpointing; open points on a line are predicted, filled ones measured. Addax's
K1 examples are of at most L_T tokens. Rows of `memory_curves`. Source: arXiv 2410.06441, Figure 3 left.
"""

from matplotlib.figure import Figure

from benchmarks.results.frame import Results
from plots._memory import against
from plots._style import PAGE, Page

STUDY = "memory-curves"


def draw(results: Results, page: Page = PAGE) -> dict[str, Figure]:
    """Return a figure for each model; `results` hold one row a point."""
    return against(results.runs, "figure3", "batch_size", page)
