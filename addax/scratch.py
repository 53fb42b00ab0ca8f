"""Scratch memory for perturbed weights, and copies of the outputs that would outlive it."""

from collections.abc import Collection, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from addax import noise

#: Parts of the arena begin at multiples of this many elements, so that operators can use vector instructions.
ALIGNMENT = 16


class Scratch:
    """Memory for perturbed weights, which is taken and released as modules run.

    On a CPU, allocating a large tensor is slow (page faults), so all modules share one arena. Tensors that
    outlive their module's forward (tied weights) get separate memory, which every evaluation reuses. If more
    weights than planned are in use at once, the rest is allocated. On a GPU, every request is allocated,
    because the GPU's allocator caches memory. If other tensors still view the arena (for example, in the
    graph of a gradient that the loss computes), a new arena replaces it.

    Args:
        numel: number of elements that are expected to be in use at once.

    Attributes:
        most: the largest number of elements of the arena and of allocated tensors that were in use at once.
    """

    def __init__(self, numel: int) -> None:
        self.numel = numel
        self.most = 0
        self._arena: Tensor | None = None
        self._separate: dict[object, Tensor] = {}
        self._used = self._total = 0
        self._lent: dict[int, int] = {}

    def begin(self) -> None:
        """Begin an evaluation: everything that was taken before is released."""
        self._used = self._total = 0
        self._lent.clear()

    def take(self, like: Tensor, *, key: object = None) -> Tensor:
        """Return uninitialized memory with the shape, dtype, and device of a tensor.

        Args:
            like: the tensor.
            key: if given, the memory is separate, and it is the same for every call with this key.
        """
        # The closure may run in inference mode, but the memory is used outside of it too.
        with torch.inference_mode(False):
            return self._take(like, key)

    def _take(self, like: Tensor, key: object) -> Tensor:
        if not noise.on_cpu(like.device):
            return torch.empty_like(like)
        if key is not None:
            if key not in self._separate:
                self._separate[key] = torch.empty_like(like)
            return self._separate[key]
        size = in_use([like])
        if self._arena is None or (not self._lent and _viewed(self._arena)):
            self._arena, self._used = torch.empty(self.numel, dtype=like.dtype, device=like.device), 0
        if self._arena.dtype != like.dtype or self._used + size > self.numel:
            part = torch.empty_like(like)
        else:
            part = self._arena[self._used : self._used + like.numel()].view(like.shape)
            self._used += size
        self._lent[id(part)] = size
        self._total += size
        self.most = max(self.most, self._total)
        return part

    def release(self, part: Tensor) -> None:
        """Release memory that `take` returned. The arena is reused once all of its parts are released."""
        self._total -= self._lent.pop(id(part), 0)
        if not self._lent:
            self._used = 0


def in_use(tensors: Iterable[Tensor]) -> int:
    """Return the number of elements that weights occupy in the arena."""
    return sum(-(-t.numel() // ALIGNMENT) * ALIGNMENT for t in tensors)


def _viewed(tensor: Tensor) -> bool:
    """Return whether other tensors share a tensor's memory, so that writing to it would change them."""
    # Two uses are expected: the tensor itself, and the storage object that this call creates.
    return torch._C._storage_Use_Count(tensor.untyped_storage()._cdata) > 2


def memory(tensor: Tensor) -> int | None:
    """Return an identifier of a tensor's storage, or None if it has no storage (such as a sparse tensor).

    The identifier is not the address of the bytes, which is 0 for all meta tensors.
    """
    return tensor.untyped_storage()._cdata if torch._C._has_storage(tensor) else None


def outliving(output: Any, weights: Collection[Tensor]) -> Any:
    """Copy every tensor in a module's output that shares memory with perturbed weights.

    Args:
        output: a tensor, or a nesting of tuples, lists, dicts, and registered classes (as in transformers).
        weights: the perturbed weights whose memory is about to be reused.

    Returns:
        The output with the copies, or None if nothing had to be copied.
    """
    lent = {memory(w) for w in weights}
    if isinstance(output, Tensor):
        return output.clone() if memory(output) in lent else None
    if not any(isinstance(t, Tensor) and memory(t) in lent for t in pytree.tree_leaves(output)):
        return None
    return pytree.tree_map_only(Tensor, lambda t: t.clone() if memory(t) in lent else t, output)
