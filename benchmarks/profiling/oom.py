"""Out-of-memory errors: detection, and the number of bytes requested."""

import re

import torch

_UNITS = {"bytes": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
# torch's error messages contain "Tried to allocate 2.00 GiB" or "you tried to allocate 8000000 bytes".
_REQUESTED = re.compile(r"tried to allocate ([\d.]+) (bytes|[KMGT]iB)", re.IGNORECASE)
# Messages of a CPU, and of CUDA and its libraries, which allocate outside of torch's allocator: when a kernel
# is loaded, and when a thread uses a library for the first time. A handle that finds no memory is "not
# initialized".
_EXHAUSTED = re.compile(
    r"DefaultCPUAllocator"
    r"|CUDA (driver )?error: out of memory"
    r"|Triton Error \[CUDA\]: out of memory"
    r"|CUBLAS_STATUS_(ALLOC_FAILED|NOT_INITIALIZED)"
    r"|CUDNN_STATUS_ALLOC_FAILED"
)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error reports that memory ran out, on a CPU or a GPU.

    >>> is_out_of_memory(RuntimeError("CUDA error: out of memory"))
    True
    >>> is_out_of_memory(RuntimeError("CUDA error: device-side assert triggered"))
    False
    """
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and _EXHAUSTED.search(str(error)) is not None


def bytes_requested(error: BaseException) -> int | None:
    """Return the number of bytes of the allocation that failed; None if the message does not contain it.

    >>> bytes_requested(RuntimeError("DefaultCPUAllocator: ... you tried to allocate 64 bytes."))
    64
    """
    found = _REQUESTED.search(str(error))
    units = {name.lower(): size for name, size in _UNITS.items()}
    return round(float(found[1]) * units[found[2].lower()]) if found else None
