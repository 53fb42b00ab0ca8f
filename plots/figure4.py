"""Peak memory against the length, OPT-13B, batch 8: MeZO, IP-SGD, SGD, LoRA; and Addax at its L_T.

Without and with gradient checkpointing; open points on a line are predicted, filled ones measured. The
length is that of Addax's zeroth-order batch; its K1 first-order examples are of at most L_T tokens. Rows of
`benchmarks.studies.memory_curves`. Source: arXiv 2410.06441, Figure 4.
"""

from matplotlib.figure import Figure

from benchmarks.results.frame import Results
from plots._memory import against
from plots._style import PAGE, Page

STUDY = "memory-curves"


def draw(results: Results, page: Page = PAGE) -> dict[str, Figure]:
    """Return a figure for each model; `results` hold one row a point."""
    return against(results.runs, "figure4", "length", page)
