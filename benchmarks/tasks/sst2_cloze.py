"""SST-2 with the papers' RoBERTa-large prompt, which has a period after the mask."""

from dataclasses import replace

from benchmarks.tasks.sst2 import TASK as SST2

# The prompt is from LM-BFF (Gao et al., arXiv 2012.15723). Causal models use the prompt of `sst2`.
TASK = replace(SST2, rows_of="sst2", cloze=lambda row, mask: f"{row['sentence']} It was {mask}.")
