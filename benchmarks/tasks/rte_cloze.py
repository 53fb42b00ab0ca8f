"""RTE with the papers' RoBERTa-large prompt, which has the mask between the two sentences."""

from dataclasses import replace

from benchmarks.tasks import _nli
from benchmarks.tasks.rte import TASK as RTE

# Causal models use the prompt of `rte`.
TASK = replace(RTE, rows_of="rte", cloze=_nli.cloze)
