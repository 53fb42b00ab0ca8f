"""Out-of-memory errors: how to recognize them, and how many bytes they asked for."""

import re
from collections.abc import Mapping

import torch

_UNITS = {"bytes": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
# torch's allocators say "Tried to allocate 2.00 GiB" or "you tried to allocate 8000000 bytes".
_REQUESTED = re.compile(r"tried to allocate ([\d.]+) (bytes|[KMGT]iB)", re.IGNORECASE)
# The batch that a part of a run can make smaller: its own, or the chunks of a pass over all rows.
SIZE_OF = {"zo": "zo_batch_size", "fo": "fo_batch_size", "full": "eval_batch_size", "eval": "eval_batch_size"}


class OutOfMemory(Exception):
    """A run does not fit.

    Attributes:
        part: what asked: "load", "zo", "fo", "full" (a loss over the whole training set) or "eval".
        bytes_asked: by the allocation that failed; None where the allocator does not say.
    """

    def __init__(self, part: str, bytes_asked: int | None) -> None:
        super().__init__(part, bytes_asked)
        self.part, self.bytes_asked = part, bytes_asked


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out.

    >>> is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory"))
    True
    >>> is_out_of_memory(RuntimeError("shapes differ"))
    False
    """
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)


def bytes_requested(error: BaseException) -> int | None:
    """Return the bytes of the allocation that failed; None if the allocator does not say.

    >>> bytes_requested(RuntimeError("DefaultCPUAllocator: ... you tried to allocate 64 bytes."))
    64
    """
    found = _REQUESTED.search(str(error))
    units = {name.lower(): size for name, size in _UNITS.items()}
    return round(float(found[1]) * units[found[2].lower()]) if found else None


def smaller(sizes: Mapping[str, int], part: str) -> dict[str, int] | None:
    """Batch sizes with the one that ran out halved; None where it is 1 already, or no batch is to blame.

    >>> smaller({"fo_batch_size": 5, "eval_batch_size": 32}, "fo")
    {'fo_batch_size': 2, 'eval_batch_size': 32}
    """
    name = SIZE_OF.get(part)
    if name is None or sizes[name] <= 1:
        return None
    return {**sizes, name: sizes[name] // 2}


def attempt(sizes: Mapping[str, int], part: str, bytes_asked: int | None) -> dict:
    """What a row says of sizes that did not fit."""
    return {**sizes, "out_of_memory_in": part, "bytes_asked": bytes_asked}
