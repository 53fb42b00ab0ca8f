"""Peak memory against the length, OPT-13B, batch 8: MeZO, IP-SGD, SGD, LoRA; and Addax at its L_T.

Without and with gradient checkpointing; open points on a line are predicted, filled ones measured. The
length is that of Addax's zeroth-order batch; its K1 first-order examples are of at most L_T tokens. Rows of
`benchmarks.studies.memory_curves`. Source: arXiv 2410.06441, Figure 4.
"""

import pandas as pd
from matplotlib.figure import Figure

from plots._memory import against
from plots._style import style

SUITE = STUDY = "memory-curves"


def draw(data: pd.DataFrame) -> dict[str, Figure]:
    """A figure for each model; `data` holds one row a point."""
    with style():
        return against(data, "figure4", "length")
