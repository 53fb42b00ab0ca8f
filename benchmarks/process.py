"""The settings of a process that runs models; they must be in place before torch is imported."""

import os

# torch reads one of these. `PYTORCH_ALLOC_CONF` is the current name; the others are older and still count.
ALLOCATOR = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_HIP_ALLOC_CONF")
VISIBLE = "CUDA_VISIBLE_DEVICES"


# How often an idle thread of libgomp looks for work before it sleeps, and the settings that imply a number.
SPIN_COUNT, SPINNING = "10000", ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")


def configure() -> None:
    """Make the settings of a process, except those that the user has made."""
    set_allocator()
    limit_spinning()


def limit_spinning() -> None:
    """Let idle threads of libgomp sleep after about 0.1 ms.

    By default, they spin for several milliseconds after an operator and take cores from the threads that draw
    noise.
    """
    if not any(name in os.environ for name in SPINNING):
        os.environ[SPINNING[0]] = SPIN_COUNT


def set_allocator() -> None:
    """Let segments of torch's CUDA allocator grow, unless the user has configured the allocator.

    The lengths of batches differ from step to step. Segments of fixed size then fragment, and a run that fits
    can run out of memory.
    """
    if not any(name in os.environ for name in ALLOCATOR):
        os.environ[ALLOCATOR[0]] = "expandable_segments:True"


def begin_worker(threads: int, card: str | None = None) -> None:
    """Configure a new worker process.

    Args:
        threads: number of threads for torch's operators on the CPU.
        card: the only GPU that the worker may use, as CUDA_VISIBLE_DEVICES names it; None to keep that
            variable. CUDA reads it when it initializes.
    """
    configure()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    if card is not None:
        os.environ[VISIBLE] = card
    import torch

    torch.set_num_threads(threads)
