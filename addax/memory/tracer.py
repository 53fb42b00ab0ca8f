"""Record the allocations of a step: when each one begins and ends, in which phase, and for what purpose.

Operators run on meta tensors, which have shapes but no values. Every storage is recorded when an operator
creates it and when it is freed, so the live bytes at each moment are known without an allocator.
"""

import sys
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from addax.memory.step import TrainingStep
from addax.weight_swap import WeightSwap

KINDS = ("parameters", "gradients", "optimizer_state", "activations", "scratch")
PARAMETERS, GRADIENTS, STATE, ACTIVATIONS, SCRATCH = range(len(KINDS))

OUTSIDE = "outside"
#: (closure, stage, layer); see `PhaseHooks`.
Phase = tuple[str, str, int]
Temporaries = Callable[[Any, Sequence[Any]], Iterable[int]]


@dataclass(frozen=True)
class PhasePeaks:
    """The peak of each phase of a step, split by kind.

    Attributes:
        bytes: for each phase, the bytes of each of `KINDS` at the moment when their sum is largest.
    """

    bytes: Mapping[Phase, tuple[int, ...]]


class Allocations(TorchDispatchMode):
    """A dispatch mode that records the allocations of operators on meta tensors and ignores all others.

    Args:
        resident: tensors that already exist (parameters and buffers).
        granularity: the device's allocator rounds sizes up to a multiple of this many bytes.
        temporaries: a function from an operator and its positional arguments to the bytes of the buffers that
            its kernel allocates beside the outputs, and frees.

    Attributes:
        phase: the current phase.
    """

    def __init__(
        self, resident: Iterable[Tensor], granularity: int, temporaries: Temporaries = lambda func, args: ()
    ) -> None:
        super().__init__()
        self.granularity = granularity
        self.temporaries = temporaries
        self.phase: Phase = ("", OUTSIDE, 0)
        self._phases: dict[Phase, int] = {}
        self._kinds: list[int] = []
        self._sizes: list[int] = []
        # Each event is (number of a storage, number of a phase). Storage numbers start at 1 and are negative
        # when the storage is freed.
        self._events: list[tuple[int, int]] = []
        self._numbers: weakref.WeakKeyDictionary[torch.UntypedStorage, int] = weakref.WeakKeyDictionary()
        self.add(resident, PARAMETERS)

    def add(self, tensors: Iterable[Tensor], kind: int) -> None:
        """Record existing tensors."""
        for tensor in tensors:
            self._add_storage(tensor, kind)

    def _add_storage(self, tensor: Tensor, kind: int | None = None) -> None:
        if not tensor.is_meta:
            return
        storage = tensor.untyped_storage()
        if storage in self._numbers:
            return
        number = self.add_bytes(storage.nbytes(), _kind_of_caller() if kind is None else kind)
        self._numbers[storage] = number
        weakref.finalize(storage, self._record, -number)

    def add_bytes(self, size: int, kind: int) -> int:
        """Record an allocation that belongs to no tensor and stays, and return its number."""
        self._kinds.append(kind)
        self._sizes.append(-(-size // self.granularity) * self.granularity)
        number = len(self._sizes)
        self._record(number)
        return number

    def _record(self, number: int) -> None:
        self._events.append((number, self._phases.setdefault(self.phase, len(self._phases))))

    def classify(self, tensor: Tensor, kind: int) -> None:
        """Set the kind of a recorded storage, once it is known."""
        number = self._numbers.get(tensor.untyped_storage())
        if number is not None:
            self._kinds[number - 1] = kind

    def classify_as_state(self, tensors: Iterable[Tensor]) -> None:
        """Set the kind of tensors that an optimizer keeps between steps."""
        for tensor in tensors:
            self.classify(tensor, STATE)

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """Run an operator and record its outputs."""
        kwargs = kwargs or {}
        # An operator that only writes values allocates no memory, so it does not have to run.
        target = _write_target(func, args, kwargs)
        if target is not None and target.is_meta:
            return target
        if func is torch.ops.aten._local_scalar_dense.default and args[0].is_meta:
            # A step reads a value only to check whether something is finite. Other tensors have values: some
            # models draw a number to decide whether a layer runs.
            return True
        out = func(*args, **kwargs)
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor):
                self._add_storage(leaf)
        # The kernel allocates its outputs first, and then the buffers in which it works.
        for number in [self.add_bytes(size, ACTIVATIONS) for size in self.temporaries(func, args)]:
            self._record(-number)
        return out

    def peaks(self) -> PhasePeaks:
        """Return the peak of every phase."""
        numbers, phases = torch.tensor(self._events).T
        storage = numbers.abs() - 1
        deltas = numbers.sign() * torch.tensor(self._sizes)[storage]
        kinds = torch.tensor(self._kinds)[storage]
        alive = torch.stack([torch.where(kinds == kind, deltas, 0).cumsum(0) for kind in range(len(KINDS))])
        total = alive.sum(0)
        peaks = {}
        for phase, number in self._phases.items():
            moments = (phases == number).nonzero()[:, 0]
            peaks[phase] = tuple(alive[:, moments[total[moments].argmax()]].tolist())
        return PhasePeaks(peaks)


def _write_target(func: Any, args: tuple, kwargs: Mapping[str, Any]) -> Tensor | None:
    """Return the tensor that an operator writes to and returns. Return None for all other operators."""
    name = _written_argument(func)
    if name == "out":
        # The operator may resize an empty `out`.
        return kwargs["out"] if kwargs["out"].numel() else None
    return args[0] if name else None


@cache
def _written_argument(func: Any) -> str:
    """Return the name of the argument that an operator writes to and returns, or "".

    The result is also "" for operators that may resize this argument or that write to several arguments.
    """
    schema = func._schema
    returned = [r.alias_info is not None and r.alias_info.is_write for r in schema.returns]
    written = [a for a in schema.arguments if a.alias_info is not None and a.alias_info.is_write]
    if returned != [True] or len(written) != 1 or torch.Tag.inplace_view in func.tags:
        return ""
    supported = (schema.arguments[0].name, "out")
    return written[0].name if written[0].name in supported and str(written[0].type) == "Tensor" else ""


def _kind_of_caller() -> int:
    """Return the kind of the memory that the running operator allocates.

    Closures and the backward engine allocate activations. The step outside the closures and this library's
    hooks inside them allocate scratch memory. The innermost caller decides, except those that only pass an
    operator of the closure on.
    """
    frame = sys._getframe(2)
    while frame is not None:
        if frame.f_code in _ACTIVATION_CODE:
            return ACTIVATIONS
        is_library = _is_library(frame.f_globals.get("__name__", "")) and frame.f_code is not _READ_CODE
        if frame.f_code is _STEP_CODE or is_library:
            return SCRATCH
        frame = frame.f_back
    return ACTIVATIONS


@cache
def _is_library(module: str) -> bool:
    return module.startswith("addax.") and not module.startswith(_PASSING)


def _evaluate(closure: Callable[[], Tensor]) -> Tensor:
    return closure()


_ACTIVATION_CODE = (_evaluate.__code__, torch.autograd.graph._engine_run_backward.__code__)
_STEP_CODE = TrainingStep.step.__code__
_READ_CODE = WeightSwap.read.__code__
# Modules that trace a closure, or that see each of its operators.
_PASSING = ("addax.memory.", "addax.loss_precision", "addax.watched", "addax.hf_trainer")


class PhaseHooks:
    """Hooks that set the current phase of `Allocations` while the model runs.

    A phase is (closure, stage, layer). The closure is "zo", "fo", or "full". The stages are "forward",
    "backward", "again" (the second forward of a checkpointed layer, and its backward), and "outside" (outside
    the closures: the backward of the loss, and the updates). Layers are numbered from 0; -1 is the part
    before the first layer, and `depth` is the part after the last one.

    Args:
        allocations: the record of allocations.
        model: the model.
        layers: the repeated modules of the model, in order.
    """

    def __init__(self, allocations: Allocations, model: nn.Module, layers: Sequence[nn.Module]) -> None:
        self.allocations = allocations
        self.depth = len(layers)
        self.name = ""
        self.backward = False
        for parameter in model.parameters():
            if parameter.requires_grad:
                # A method refuses post-accumulate-grad hooks of others, which may use up a gradient.
                parameter.register_hook(lambda grad: allocations.classify(grad, GRADIENTS))
        for number, layer in enumerate(layers):
            layer.register_forward_pre_hook(self._enter_hook(number), with_kwargs=True)
            layer.register_forward_hook(self._leave_hook(number))

    def around(self, name: str, closure: Callable[[], Tensor]) -> Callable[[], Tensor]:
        """Return a closure that also sets the phases.

        Args:
            name: "zo_loss", "fo_loss", or "full_loss".
            closure: the closure to call.
        """

        def with_phases() -> Tensor:
            self.name, self.backward = name.removesuffix("_loss"), False
            self._set_phase("forward", -1)
            loss = _evaluate(closure)
            self._set_phase(OUTSIDE, 0)
            return loss

        return with_phases

    def _set_phase(self, stage: str, layer: int) -> None:
        self.allocations.phase = (self.name, stage, layer)

    def _enter_hook(self, number: int) -> Callable:
        def enter(_module: nn.Module, inputs: tuple, _kwargs: dict) -> None:
            self._set_phase("again" if self.backward else "forward", number)
            if number == 0 and not self.backward and inputs[0].requires_grad:
                inputs[0].register_hook(lambda grad: self._set_phase("backward", -1))

        return enter

    def _leave_hook(self, number: int) -> Callable:
        def leave(_module: nn.Module, _inputs: tuple, output: Any) -> None:
            if self.backward:
                return
            out = output[0] if isinstance(output, tuple) else output
            if out.requires_grad:
                out.register_hook(lambda grad: self._backward(number))
            if number == self.depth - 1:
                self._set_phase("forward", self.depth)

        return leave

    def _backward(self, number: int) -> None:
        self.backward = True
        self._set_phase("backward", number)
