"""SST-2 with the prompt that the papers have for RoBERTa-large: a full stop after the mask."""

from dataclasses import replace

from benchmarks.tasks.sst2 import TASK as SST2

# LM-BFF (Gao et al., arXiv 2012.15723). Causal models are asked as in `sst2`.
TASK = replace(SST2, rows_of="sst2", cloze=lambda row, mask: f"{row['sentence']} It was {mask}.")
