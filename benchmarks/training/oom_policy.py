"""Out-of-memory policy: halve the batch that did not fit; a run is "OOM" only if one example does not fit.

A training batch that does not fit restarts the run with half of it, since every batch is drawn for its size.
An evaluation batch is halved in place, since no score depends on it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from benchmarks.profiling.oom import bytes_requested, is_out_of_memory
from benchmarks.training.counters import RunCounters

T = TypeVar("T")
# The batch that each phase of a run can make smaller. The full loss is evaluated in evaluation batches. No
# batch size helps the other phases: loading the model, and copying the best weights.
BATCH_OF = {
    "zo": "zo_batch_size",
    "fo": "fo_batch_size",
    "full": "eval_batch_size",
    "eval": "eval_batch_size",
}


def halve_batch(counters: RunCounters, phase: str, error: BaseException) -> bool:
    """Record that memory ran out in a phase, and halve its batch.

    Args:
        counters: hold the batch sizes and the attempts; both are updated.
        phase: "zo", "fo", "full", "eval", or one without a batch.
        error: the allocator's error.

    Returns:
        False if the batch holds one example already, or if no batch is to blame.
    """
    sizes, name = counters.batch_sizes, BATCH_OF.get(phase)
    counters.oom_attempts.append({**sizes, "out_of_memory_in": phase, "bytes_asked": bytes_requested(error)})
    if name is None or sizes[name] <= 1:
        return False
    counters.batch_sizes = {**sizes, name: sizes[name] // 2}
    return True


def with_smaller_eval_batches(work: Callable[[int], T], counters: RunCounters) -> T:
    """Return `work(eval_batch_size)`; halve the size and repeat while memory runs out."""
    while True:
        try:
            return work(counters.batch_sizes["eval_batch_size"])
        except Exception as error:
            if not is_out_of_memory(error) or counters.batch_sizes["eval_batch_size"] == 1:
                raise
            halve_batch(counters, "eval", error)


@contextmanager
def ignoring_out_of_memory() -> Iterator[None]:
    """End the block silently if memory runs out inside; other errors propagate."""
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
