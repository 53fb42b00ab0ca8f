"""The assignment of local workers to GPUs."""

import os
from collections.abc import Collection

from benchmarks.process import VISIBLE


def visible_cards() -> tuple[str, ...]:
    """Return the GPUs that this process may use, in torch's order, as CUDA_VISIBLE_DEVICES names them.

    A name is an index, a UUID ("GPU-..."), or a MIG instance ("MIG-...").
    """
    import torch

    given = os.environ.get(VISIBLE)
    if given is None:
        return tuple(map(str, range(torch.cuda.device_count())))
    names = tuple(name.strip() for name in given.split(","))
    if all(name.startswith("MIG-") for name in names):
        # A process can use only the first MIG instance, so torch counts one, but each worker can use its own.
        return names
    # CUDA ignores the first invalid name and everything after it.
    return names[: torch.cuda.device_count()]


def assign(devices: Collection[str], jobs: int | None, runs: int) -> tuple[int, tuple[str, ...]]:
    """Return the number of workers, and the GPUs that they take turns to occupy.

    Args:
        devices: the devices of the runs, see `RunSpec.device`.
        jobs: the requested number of workers. None means one per GPU for runs on "cuda", one per core for
            runs on the CPU only, and one for other runs.
        runs: number of runs. There are no more workers than runs.

    Returns:
        The number of workers, and names of GPUs. Worker i may use only the GPU i modulo their number, so
        workers share GPUs if there are more workers than GPUs. Without names, every worker may use all GPUs,
        because a run names its GPU ("cuda:1") or uses all ("auto"), or because no run uses a GPU.
    """
    kinds = set(devices) - {"cpu"}
    cards = visible_cards() if kinds == {"cuda"} else ()
    default = len(cards) or (1 if kinds else os.cpu_count() or 1)
    return min(jobs or default, runs), cards
