"""Peak memory against the batch size, OPT-13B: MeZO, IP-SGD, and Addax whose zeroth-order batch has it.

Without and with gradient checkpointing; open points on a line are predicted, filled ones measured. Addax's
K1 examples are of at most L_T tokens. Rows of `memory_curves`. Source: arXiv 2410.06441, Figure 3 left.
"""

import pandas as pd
from matplotlib.figure import Figure

from plots._memory import against
from plots._style import style

SUITE = STUDY = "memory-curves"


def draw(data: pd.DataFrame) -> dict[str, Figure]:
    """A figure for each model; `data` holds one row a point."""
    with style():
        return against(data, "figure3", "batch_size")
