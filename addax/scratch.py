"""Scratch: memory for one module's perturbed weights, and outputs that must not outlive it."""

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from addax import noise


class Scratch:
    """Memory for one module's perturbed weights, taken and given back as modules run.

    On a CPU a fresh allocation of a large tensor costs its page faults, so one arena serves all modules,
    and what outlives its module has a place of its own for every evaluation; modules nested in one that
    owns parameters itself, and GPUs, whose allocator keeps its memory, allocate. What somebody still has a
    view of, such as the graph of a gradient taken within the loss, is left to them and replaced.

    Args:
        numel: elements of the module that owns most.
    """

    def __init__(self, numel: int) -> None:
        self.numel = numel
        self.arena: Tensor | None = None
        self.used = 0
        self.lent = 0
        self.places: dict[Tensor, Tensor] = {}

    def take(self, like: Tensor, *, alone: bool = False) -> Tensor:
        """Uninitialised memory of a tensor's shape, dtype and device, which other modules' may outlast.

        Args:
            like: the tensor.
            alone: outside the arena; the same memory each time.
        """
        if not noise.on_cpu(like.device):
            return torch.empty_like(like)
        if alone:
            if like not in self.places:
                self.places[like] = torch.empty_like(like)
            return self.places[like]
        if self.arena is None or (self.lent == 0 and _viewed(self.arena)):
            self.arena = torch.empty(self.numel, dtype=like.dtype, device=like.device)
        if self.arena.dtype != like.dtype or self.used + like.numel() > self.numel:
            return torch.empty_like(like)
        part = self.arena[self.used : self.used + like.numel()]
        self.used += like.numel()
        self.lent += 1
        return part.view(like.shape)

    def release(self, part: Tensor) -> None:
        """Gives back what `take` returned; the arena is reused once all of it is back."""
        if self.arena is None or memory(part) != memory(self.arena):
            return
        self.lent -= 1
        if self.lent == 0:
            self.used = 0


def _viewed(tensor: Tensor) -> bool:
    """Whether other tensors share a tensor's memory: they would see what is written into it next."""
    # Its own use, and that of the storage object made to ask.
    return torch._C._storage_Use_Count(tensor.untyped_storage()._cdata) > 2


def memory(tensor: Tensor) -> int | None:
    """Which storage a tensor lies in; None where it has none (sparse, for one).

    Not the address of its bytes: tensors that have none, to measure memory by, share that one.
    """
    return tensor.untyped_storage()._cdata if torch._C._has_storage(tensor) else None


def outliving(output: Any, parameters: Collection[nn.Parameter]) -> Any:
    """A module's output with every tensor copied that lies in the memory of its perturbed parameters.

    Args:
        output: a tensor, or tuples, lists, dicts and registered classes of them (transformers' are).
        parameters: those whose memory is about to be reused.

    Returns:
        The output, or None where nothing in it had to be copied.
    """
    lent = {memory(p) for p in parameters}
    if isinstance(output, Tensor):
        return output.clone() if memory(output) in lent else None
    if not any(isinstance(t, Tensor) and memory(t) in lent for t in pytree.tree_leaves(output)):
        return None
    return pytree.tree_map_only(Tensor, lambda t: t.clone() if memory(t) in lent else t, output)
