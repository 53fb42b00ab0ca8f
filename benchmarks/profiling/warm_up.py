"""Warm-up of GPUs: what CUDA and cuBLAS allocate and load on first use, before anything is timed."""

from collections.abc import Iterable

import torch
from torch.nn import functional

from benchmarks.profiling.devices import gpus_of

# Elements per side of the matrices.
SIDE = 64


def warm_up(devices: Iterable[torch.device], dtype: torch.dtype) -> None:
    """Multiply small matrices on every GPU, forward and backward, and wait; do nothing on a CPU.

    The first use of a GPU creates its context. The first use of cuBLAS in a thread creates a handle and
    allocates a workspace. Closures run in the calling thread, and backward passes in a thread per GPU that
    torch keeps, so both kinds of threads are warmed up. Afterwards, no step pays for this, and every run has
    the same workspaces, whichever runs preceded it in its process.

    Args:
        devices: the devices of a run.
        dtype: the dtype of its parameters, because the kernels depend on it.
    """
    for gpu in gpus_of(devices):
        x = torch.ones(SIDE, SIDE, device=gpu, dtype=dtype, requires_grad=True)
        functional.linear(x @ x, x, x[0]).float().square().mean().backward()
        torch.cuda.synchronize(gpu)
