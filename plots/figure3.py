"""Peak memory of OPT-13B against the batch size: MeZO, IP-SGD, and Addax (Addax, Figure 3 left).

Panels show steps without and with gradient checkpointing. Open points on a line are predicted, filled points
are measured. For Addax, the batch size is that of the zeroth-order batch; its K1 first-order examples have at
most L_T tokens. Drawn from rows of `benchmarks.studies.memory_curves`. Source: arXiv 2410.06441.
"""

from matplotlib.figure import Figure

from benchmarks.results.frame import Results
from plots._memory import peak_figures
from plots._style import PAGE, Page

STUDY = "memory-curves"


def draw(results: Results, page: Page = PAGE) -> dict[str, Figure]:
    """Return a figure per model; `results` hold one row per point."""
    return peak_figures(results.runs, "figure3", "batch_size", page)
