"""Side by side: several ways of doing the same work, timed in turns on the same batches."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import torch

from benchmarks.profiling.timing import now

Batch = TypeVar("Batch")


def interleaved(
    ways: Mapping[str, Callable[[Batch], object]], batches: Sequence[Batch], device: torch.device
) -> dict[str, list[float]]:
    """Seconds of each way on each batch, after one untimed turn of each.

    Taking turns spreads a machine's slow moments over all ways alike.
    """
    times: dict[str, list[float]] = {name: [] for name in ways}
    for work in ways.values():
        work(batches[0])
    for batch in batches:
        for name, work in ways.items():
            begin = now(device)
            work(batch)
            times[name].append(now(device) - begin)
    return times
