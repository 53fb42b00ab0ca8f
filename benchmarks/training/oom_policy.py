"""Out-of-memory policy: halve the batch that did not fit; a run is "OOM" only if one example does not fit.

A training batch that does not fit restarts the run with half the batch size, because all draws depend on it.
An evaluation batch is halved in place, because no score depends on its size.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from benchmarks.profiling.oom import bytes_requested, is_out_of_memory
from benchmarks.training.counters import RunCounters

T = TypeVar("T")
# The batch size to halve if a phase runs out of memory. The full loss is computed in evaluation batches. The
# other phases, loading the model and copying the best weights, do not depend on a batch size.
BATCH_OF = {
    "zo": "zo_batch_size",
    "fo": "fo_batch_size",
    "full": "eval_batch_size",
    "eval": "eval_batch_size",
}


def halve_batch(counters: RunCounters, phase: str, error: BaseException) -> bool:
    """Record that a phase ran out of memory, and halve its batch size.

    Args:
        counters: counters of the run; their batch sizes and attempts are updated.
        phase: "zo", "fo", "full", "eval", or a phase without a batch.
        error: the allocator's error.

    Returns:
        False if the batch size is already 1, or if the phase has no batch.
    """
    sizes, name = counters.batch_sizes, BATCH_OF.get(phase)
    counters.oom_attempts.append({**sizes, "out_of_memory_in": phase, "bytes_asked": bytes_requested(error)})
    if name is None or sizes[name] <= 1:
        return False
    counters.batch_sizes = {**sizes, name: sizes[name] // 2}
    return True


def with_smaller_eval_batches(work: Callable[[int], T], counters: RunCounters) -> T:
    """Return `work(eval_batch_size)`; as long as memory runs out, halve the size and retry."""
    while True:
        try:
            return work(counters.batch_sizes["eval_batch_size"])
        except Exception as error:
            if not is_out_of_memory(error) or counters.batch_sizes["eval_batch_size"] == 1:
                raise
            halve_batch(counters, "eval", error)


@contextmanager
def ignoring_out_of_memory() -> Iterator[None]:
    """Suppress out-of-memory errors of the block; other errors propagate."""
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
