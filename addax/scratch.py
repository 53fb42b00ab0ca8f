"""Scratch memory for one module's perturbed weights, and copies of the outputs that would outlive it."""

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from addax import noise


class Scratch:
    """Memory for one module's perturbed weights, which is taken and released as modules run.

    On a CPU, allocating a large tensor is slow (page faults), so all modules share one arena. Tensors that
    outlive their module's forward (tied weights) get separate memory, which every evaluation reuses. If
    nested modules need more than the arena, the rest is allocated. On a GPU, every request is allocated,
    because the GPU's allocator caches memory. If other tensors still view the arena (for example, in the
    graph of a gradient that the loss computes), a new arena replaces it.

    Args:
        numel: number of elements of the largest module.
    """

    def __init__(self, numel: int) -> None:
        self.numel = numel
        self.arena: Tensor | None = None
        self.used = 0
        self.lent = 0
        self.separate: dict[Tensor, Tensor] = {}

    def take(self, like: Tensor, *, alone: bool = False) -> Tensor:
        """Return uninitialized memory with the shape, dtype, and device of a tensor.

        Args:
            like: the tensor.
            alone: whether to use separate memory, which is the same for every call with this tensor.
        """
        if not noise.on_cpu(like.device):
            return torch.empty_like(like)
        if alone:
            if like not in self.separate:
                self.separate[like] = torch.empty_like(like)
            return self.separate[like]
        if self.arena is None or (self.lent == 0 and _viewed(self.arena)):
            self.arena = torch.empty(self.numel, dtype=like.dtype, device=like.device)
        if self.arena.dtype != like.dtype or self.used + like.numel() > self.numel:
            return torch.empty_like(like)
        part = self.arena[self.used : self.used + like.numel()]
        self.used += like.numel()
        self.lent += 1
        return part.view(like.shape)

    def release(self, part: Tensor) -> None:
        """Release memory that `take` returned. The arena is reused once all of its parts are released."""
        if self.arena is None or memory(part) != memory(self.arena):
            return
        self.lent -= 1
        if self.lent == 0:
            self.used = 0


def _viewed(tensor: Tensor) -> bool:
    """Return whether other tensors share a tensor's memory, so that writing to it would change them."""
    # Two uses are expected: the tensor itself, and the storage object that this call creates.
    return torch._C._storage_Use_Count(tensor.untyped_storage()._cdata) > 2


def memory(tensor: Tensor) -> int | None:
    """Return an identifier of a tensor's storage, or None if it has no storage (such as a sparse tensor).

    The identifier is not the address of the bytes, which is 0 for all meta tensors.
    """
    return tensor.untyped_storage()._cdata if torch._C._has_storage(tensor) else None


def outliving(output: Any, parameters: Collection[nn.Parameter]) -> Any:
    """Copy every tensor in a module's output that shares memory with its perturbed parameters.

    Args:
        output: a tensor, or a nesting of tuples, lists, dicts, and registered classes (as in transformers).
        parameters: the parameters whose memory is about to be reused.

    Returns:
        The output with the copies, or None if nothing had to be copied.
    """
    lent = {memory(p) for p in parameters}
    if isinstance(output, Tensor):
        return output.clone() if memory(output) in lent else None
    if not any(isinstance(t, Tensor) and memory(t) in lent for t in pytree.tree_leaves(output)):
        return None
    return pytree.tree_map_only(Tensor, lambda t: t.clone() if memory(t) in lent else t, output)
