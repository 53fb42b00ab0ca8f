"""Worker processes of the studies."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import torch


def pool(processes: int) -> ProcessPoolExecutor:
    """Return a pool of worker processes with one thread each.

    The workers are started afresh. A forked worker could not use CUDA if its parent has used it, and even on
    tensors without values Adam asks torch for the current stream of the GPU.
    """
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(processes, context, initializer=torch.set_num_threads, initargs=(1,))
