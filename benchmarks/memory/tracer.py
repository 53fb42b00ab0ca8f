"""Allocations of one step, event by event: who asked for the memory, in which part of the step.

Operators run on meta tensors, which have shapes and no values. Every storage that an operator makes is noted
with its birth and its death, so the bytes alive are known at each moment without an allocator.
"""

import sys
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

KINDS = ("parameters", "gradients", "optimizer_state", "activations", "scratch")
PARAMETERS, GRADIENTS, STATE, ACTIVATIONS, SCRATCH = range(len(KINDS))
# Whoever asks for memory is the innermost caller that is neither torch's nor ours here.
_METHODS = ("addax", "baselines")
_ENGINE = "torch.autograd.graph"

OUTSIDE = "outside"
Phase = tuple[str, str, int]


@dataclass(frozen=True)
class PhasePeaks:
    """The most bytes alive in each piece of a step, and what they were.

    Attributes:
        bytes: piece -> bytes of each of `KINDS` at the piece's largest moment.
    """

    bytes: Mapping[Phase, tuple[int, ...]]


class Allocations(TorchDispatchMode):
    """Notes what operators allocate for tensors without values; others are not counted.

    Args:
        resident: tensors alive before (parameters and buffers).
        allocation_granularity: bytes that the device's allocator rounds a size up to.
    """

    def __init__(self, resident: Iterable[Tensor], allocation_granularity: int) -> None:
        super().__init__()
        self.allocation_granularity = allocation_granularity
        self.piece: Phase = ("", OUTSIDE, 0)
        self._numbers: dict[Phase, int] = {}
        self._kinds: list[int] = []
        self._sizes: list[int] = []
        # Of each event: the storage's number, counted from 1 and negative where it dies, and the piece.
        self._events: list[tuple[int, int]] = []
        self._known: weakref.WeakKeyDictionary[torch.UntypedStorage, int] = weakref.WeakKeyDictionary()
        self.has(resident, PARAMETERS)

    def has(self, tensors: Iterable[Tensor], kind: int) -> None:
        """Notes tensors that are there already."""
        for tensor in tensors:
            self._born(tensor, kind)

    def _born(self, tensor: Tensor, kind: int | None = None) -> None:
        if not tensor.is_meta:
            return
        storage = tensor.untyped_storage()
        if storage in self._known:
            return
        size = -(-storage.nbytes() // self.allocation_granularity) * self.allocation_granularity
        self._kinds.append(_asked_by() if kind is None else kind)
        self._sizes.append(size)
        number = len(self._sizes)
        self._known[storage] = number
        self._note(number)
        weakref.finalize(storage, self._note, -number)

    def _note(self, number: int) -> None:
        self._events.append((number, self._numbers.setdefault(self.piece, len(self._numbers))))

    def call_it(self, tensor: Tensor, kind: int) -> None:
        """What a storage turns out to have been."""
        number = self._known.get(tensor.untyped_storage())
        if number is not None:
            self._kinds[number - 1] = kind

    def state(self, tensors: Iterable[Tensor]) -> None:
        """Calls what an optimizer keeps between its steps by its name."""
        for tensor in tensors:
            self.call_it(tensor, STATE)

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """Runs an operator and notes its outputs."""
        kwargs = kwargs or {}
        # What only writes values makes nothing and changes nothing that can be seen here, and is not run.
        target = _written(func, args, kwargs)
        if target is not None and target.is_meta:
            return target
        if func is torch.ops.aten._local_scalar_dense.default:
            # All that a step asks is whether something is finite.
            return True
        out = func(*args, **kwargs)
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor):
                self._born(leaf)
        return out

    def pieces(self) -> PhasePeaks:
        """What was noted."""
        numbers, where = np.array(self._events, dtype=np.int64).T
        at = np.abs(numbers) - 1
        deltas = np.sign(numbers) * np.array(self._sizes, dtype=np.int64)[at]
        kinds = np.array(self._kinds)[at]
        alive = np.cumsum([np.where(kinds == kind, deltas, 0) for kind in range(len(KINDS))], axis=1)
        total = alive.sum(0)
        found = {}
        for piece, number in self._numbers.items():
            moments = np.flatnonzero(where == number)
            found[piece] = tuple(int(b) for b in alive[:, moments[np.argmax(total[moments])]])
        return PhasePeaks(found)


def _written(func: Any, args: tuple, kwargs: Mapping[str, Any]) -> Tensor | None:
    """The one tensor that an operator writes values into and returns; None where it does something else."""
    name = _target(func)
    if name == "out":
        # One of no elements may be made larger.
        return kwargs["out"] if kwargs["out"].numel() else None
    return args[0] if name else None


@cache
def _target(func: Any) -> str:
    """Name of the argument that an operator writes into, returns and leaves as large as it is; or ""."""
    schema = func._schema
    returned = [r.alias_info is not None and r.alias_info.is_write for r in schema.returns]
    written = [a for a in schema.arguments if a.alias_info is not None and a.alias_info.is_write]
    if returned != [True] or len(written) != 1 or torch.Tag.inplace_view in func.tags:
        return ""
    known = (schema.arguments[0].name, "out")
    return written[0].name if written[0].name in known and str(written[0].type) == "Tensor" else ""


def _asked_by() -> int:
    """SCRATCH where a method's own code allocates, ACTIVATIONS where the model or the engine does."""
    frame = sys._getframe(2)
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        top = name.partition(".")[0]
        if top in _METHODS or name.startswith("torch.optim"):
            return SCRATCH
        if name == _ENGINE or name.startswith(
            ("transformers", "torch.nn.modules", "benchmarks.evaluation.scoring")
        ):
            return ACTIVATIONS
        frame = frame.f_back
    return ACTIVATIONS


class PhaseHooks:
    """Hooks that tell `Allocations` which part of the model runs: pieces that repeat from layer to layer.

    A piece is (closure, phase, layer). Phases are "forward", "backward", "again" (a checkpointed layer's
    second forward and its backward) and "outside" (of a closure: the loss's own backward, and updates).
    Layers are numbers, -1 before the first and `depth` after the last.

    Args:
        allocations: what to tell.
        model: whose layers to mark.
        layers: the repeated modules, in order.
    """

    def __init__(self, allocations: Allocations, model: nn.Module, layers: nn.ModuleList) -> None:
        self.allocations = allocations
        self.depth = len(layers)
        self.name = ""
        self.backward = False
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.register_post_accumulate_grad_hook(lambda p: allocations.call_it(p.grad, GRADIENTS))
        for number, layer in enumerate(layers):
            layer.register_forward_pre_hook(self._entering(number), with_kwargs=True)
            layer.register_forward_hook(self._leaving(number))

    @contextmanager
    def closure(self, name: str) -> Iterator[None]:
        """Around what a closure evaluates."""
        self.name, self.backward = name, False
        self._mark("forward", -1)
        yield
        self._mark(OUTSIDE, 0)

    def _mark(self, phase: str, layer: int) -> None:
        self.allocations.piece = (self.name, phase, layer)

    def _entering(self, number: int) -> Callable:
        def enter(_module: nn.Module, inputs: tuple, _kwargs: dict) -> None:
            self._mark("again" if self.backward else "forward", number)
            if number == 0 and not self.backward and inputs[0].requires_grad:
                inputs[0].register_hook(lambda grad: self._mark("backward", -1))

        return enter

    def _leaving(self, number: int) -> Callable:
        def leave(_module: nn.Module, _inputs: tuple, output: Any) -> None:
            if self.backward:
                return
            out = output[0] if isinstance(output, tuple) else output
            if out.requires_grad:
                out.register_hook(lambda grad: self._backward(number))
            if number == self.depth - 1:
                self._mark("forward", self.depth)

        return leave

    def _backward(self, number: int) -> None:
        self.backward = True
        self._mark("backward", number)
