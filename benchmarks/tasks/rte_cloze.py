"""RTE with the prompt that the papers have for RoBERTa-large: the mask between the two sentences."""

from dataclasses import replace

from benchmarks.tasks import _nli
from benchmarks.tasks.rte import TASK as RTE

# Causal models are asked as in `rte`.
TASK = replace(RTE, rows_of="rte", cloze=_nli.cloze)
