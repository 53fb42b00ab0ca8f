"""Weight swap: evaluate a loss with perturbed weights, one module at a time.

Just before a module's forward, its parameters are pointed at perturbed weights. After the forward, they are
pointed back at theta. The perturbed weights of a parameter that is tied to several modules live until the
last of these modules has run, so they are computed once.

Any other read of a parameter is noticed (`addax.watched`), and the perturbed weight is swapped in for it:
until the end of the innermost running module, such as a parent that uses a child's weight; for one operator
if no module is running; until the end of the evaluation if autograd records the operator, because the
backward pass reads the weight again. A compiled module gets the weights of all its submodules at once
(`addax.swap_units`). If a compiled function calls the model from outside, all parameters are swapped during
the whole evaluation.

After an interrupted evaluation, the parameters point at theta, and no hook is active.

Small parameters (`addax.small_tensors`) are swapped during the whole evaluation, because that takes less time
than a swap around each module.

Memory: the weights of the smallest module that reads them, plus each tied parameter's weights from its first
module to its last, plus all small parameters.
"""

import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, _get_current_function_mode, _pop_mode, _push_mode

from addax.access_guard import ParameterAccessGuard, any_aliased
from addax.perturbation import Perturbation
from addax.scratch import Scratch, outliving
from addax.swap_context import TRACED, check_context
from addax.swap_hooks import Hooks
from addax.swap_units import Slot, Structure, Unit
from addax.watched import watched_class


class WeightSwap:
    """Evaluates losses of a model with swapped weights, in one thread and outside torch.func's transforms.

    Args:
        model: the model.
        parameters: the parameters to swap.

    Attributes:
        whole: whether all parameters are swapped during the whole evaluation.
        structure: the model's units and parameters, which are found again when the model changes.
        uses_autocast: whether a module has run under autocast.
        has_read: whether the last closure has read a parameter.
    """

    def __init__(self, model: nn.Module, parameters: Collection[nn.Parameter]) -> None:
        self.model = model
        self.parameters = parameters
        self.whole = False
        self.uses_autocast = False
        self.has_read = False
        self.structure: Structure | None = None
        self._watched: dict[type[Tensor], type[Tensor]] = {}
        self._small: list[Slot] = []
        self._large: list[Slot] = []
        self._hooks: list[Hooks] = []
        self._are_attached = False
        self._forget()

    def _forget(self) -> None:
        self._live = False
        self._guard: ParameterAccessGuard | None = None
        self._perturb: Perturbation | None = None
        self._scratch: Scratch | None = None
        self._mode: TorchFunctionMode | None = None
        self._paused: list[TorchFunctionMode] = []
        # The running modules, outermost first, and the large parameters that each of them uses so far.
        self._running: list[tuple[nn.Module, list[Slot]]] = []
        # Whether the small parameters still report the first read.
        self._waits_for_read = False
        for slot in (*self._small, *self._large):
            # A reference to theta would look like an alias in the next step.
            slot.theta = None
            slot.clear()

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Attach hooks to the model, for the evaluations of one estimate at the current theta."""
        try:
            try:
                self._attach()
                yield
            finally:
                self._remove_hooks()
        finally:
            # An interrupt may have stopped the first call before it was done.
            self._remove_hooks()

    def _attach(self) -> None:
        # An interrupt may have left something behind, and a reference to theta would look like an alias.
        self._remove_hooks()
        self._are_attached = True
        self.whole = self.whole or isinstance(self.model, torch.jit.ScriptModule)
        if self.structure is None or not self.structure.is_current(self.whole):
            self.structure = self.find_structure()
            self._hooks = list(self._hooks_of(self.structure))
        slots = self.structure.slots.values()
        self._guard = ParameterAccessGuard(self.model, self.parameters) if self.is_aliased() else None
        self._small = [slot for slot in slots if slot.small]
        self._large = [slot for slot in slots if not slot.small]
        for slot in slots:
            slot.theta, slot.kind = slot.parameter.data, type(slot.parameter)
            if slot.kind not in self._watched:
                self._watched[slot.kind] = self.class_of(slot.kind)
        self._thread = threading.get_ident()
        for hooks in self._hooks:
            hooks.attach()

    def _hooks_of(self, structure: Structure) -> Iterator[Hooks]:
        any_large = any(not slot.small for slot in structure.slots.values())
        for unit in structure.units:
            if unit.large or unit.compiled or (any_large and not unit.parameters):
                yield Hooks(unit.module, partial(self.enter, unit), partial(self.leave, unit))
            elif unit.parameters:
                # Small parameters are swapped in already.
                yield Hooks(unit.module, partial(self.check, unit), None)

    def find_structure(self) -> Structure:
        """Return the units and the parameters of the model."""
        return Structure(self.model, self.parameters, self.whole)

    def is_aliased(self) -> bool:
        """Return whether a tensor outside the model shares memory with a parameter."""
        return any_aliased(self.model, self.parameters)

    def class_of(self, kind: type[Tensor]) -> type[Tensor]:
        """Return the class of parameters that are not swapped in, by their own class."""
        return watched_class(kind, self)

    def _remove_hooks(self) -> None:
        if self._are_attached:
            for hooks in self._hooks:
                hooks.detach()
            self._forget()
            self._are_attached = False

    def evaluate(self, loss: Callable[[], Any], perturb: Perturbation, scratch: Scratch) -> Any:
        """Call the closure, with swapped weights wherever it reads a parameter, and return its result.

        Args:
            loss: the closure.
            perturb: computes perturbed weights, in memory taken from `scratch`.
            scratch: the memory of the perturbed weights, which is released after use.
        """
        self._mode, self._paused = _get_current_function_mode(), []
        self._perturb, self._scratch, self._running = perturb, scratch, []
        for slot in self._large:
            slot.clear()
        scratch.begin()
        try:
            try:
                self._live, self.has_read, self._waits_for_read = True, False, True
                self._swap_in_small()
                for slot in (*self._small, *self._large):
                    slot.parameter.__class__ = self._watched[slot.kind]
                if self.whole:
                    self._use(self._large, [])
                    self._notice_read()
                # An interrupt at the end of a `with` statement could leave the guard active.
                if self._guard:
                    self._guard.__enter__()
                value = loss()
                if isinstance(value, nn.Parameter):
                    # The parameter itself is about to point at theta again.
                    value = value.clone()
                return value
            finally:
                self._restore()
        finally:
            self._restore()

    def _restore(self) -> None:
        self._live = False
        if self._guard:
            self._guard.remove()
        for slot in (*self._small, *self._large):
            slot.parameter.__class__ = slot.kind
            if slot.perturbed is not None:
                slot.parameter.data = slot.theta

    def check(self, unit: Unit) -> bool:
        """Check the context in which a module's forward begins. Return whether an evaluation is running."""
        if torch.compiler.is_compiling():
            raise RuntimeError(TRACED)
        if not self._live:
            return False
        check_context(type(unit.module).__name__, self._thread)
        if not self.uses_autocast:
            self.uses_autocast = torch._C._is_any_autocast_enabled()
        if self._waits_for_read and unit.parameters:
            self._notice_read()
        return True

    def enter(self, unit: Unit) -> None:
        """Swap in the weights of a module whose forward begins."""
        if not self.check(unit):
            return
        held: list[Slot] = []
        self._running.append((unit.module, held))
        if unit.large:
            self._use(unit.large, held)
        if unit.compiled and self._mode and _get_current_function_mode() is self._mode:
            # Otherwise the compiler would trace the mode into its graph.
            self._paused.append(_pop_mode())

    def leave(self, unit: Unit, output: Any) -> Any:
        """Swap out the weights of a module whose forward has ended, and return a changed output or None."""
        # A closure may catch an error (such as out of memory) that was raised in the module's pre-hook.
        # The module was not entered then.
        if not self._live or not self._running or self._running[-1][0] is not unit.module:
            return None
        _, held = self._running.pop()
        if unit.compiled and self._paused:
            _push_mode(self._paused.pop())
        if not held:
            return None
        for slot in unit.large:
            if slot.tied:
                slot.served.add(unit.module)
        copied = outliving(output, [slot.perturbed for slot in held])
        self._release(held)
        return copied

    def read(self, func: Callable[..., Any], watched: list[nn.Parameter], args: Any, kwargs: Any) -> Any:
        """Call a function that reads parameters outside their modules, with the perturbed weights."""
        known = []
        for p in watched:
            slot = self.structure.slots.get(id(p)) if self._live else None
            if slot is None:
                # The closure has copied a watched parameter.
                p.__class__ = type(p).__base__
            elif slot not in known:
                known.append(slot)
        check_context(getattr(func, "__name__", "an operator"), self._thread)
        if known and self._waits_for_read:
            self._notice_read()
        held = self._running[-1][1] if self._running else []
        self._use([slot for slot in known if not slot.small], held)
        output = func(*args, **kwargs)
        if not self._running and outliving(output, [slot.perturbed for slot in held]) is None:
            self._release(held)
        return output

    def _swap_in_small(self) -> None:
        if not self._small:
            return
        parameters = [slot.parameter for slot in self._small]
        weights = self._perturb.small(parameters, [slot.theta for slot in self._small])
        for slot, perturbed in zip(self._small, weights, strict=True):
            slot.perturbed = perturbed
            slot.parameter.data = perturbed

    def _notice_read(self) -> None:
        """Note that the closure reads parameters, so that the small ones need not be watched any longer."""
        self.has_read, self._waits_for_read = True, False
        for slot in self._small:
            slot.parameter.__class__ = slot.kind

    def _use(self, slots: Collection[Slot], held: list[Slot]) -> None:
        """Swap in parameters for a user that holds them until `_release`."""
        # Autograd reads a weight again in the backward pass, so the weight stays until the end.
        uses = 2 if torch.is_grad_enabled() else 1
        for slot in slots:
            if slot.perturbed is None:
                self._swap_in(slot)
            slot.users += uses
            held.append(slot)

    def _release(self, held: list[Slot]) -> None:
        for slot in reversed(held):
            slot.users -= 1
            if not slot.users:
                self._swap_out(slot)

    def _swap_in(self, slot: Slot) -> None:
        perturbed, slot.waiting = slot.waiting, None
        if perturbed is None:
            with self._guard.paused() if self._guard else nullcontext():
                perturbed = self._perturb(slot.parameter, slot.theta, tied=slot.tied)
        slot.perturbed = perturbed
        slot.parameter.__class__ = slot.kind
        slot.parameter.data = perturbed

    def _swap_out(self, slot: Slot) -> None:
        # If an interrupt arrives between two of these statements, `_restore` still restores theta.
        slot.parameter.data = slot.theta
        slot.parameter.__class__ = self._watched[slot.kind]
        perturbed, slot.perturbed = slot.perturbed, None
        if slot.tied and len(slot.served) < slot.units:
            slot.waiting = perturbed
        else:
            # Start over, because the closure may run the model again.
            slot.served.clear()
            self._scratch.release(perturbed)
