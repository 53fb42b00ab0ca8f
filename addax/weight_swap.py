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

Memory: the weights of the smallest module that reads them, plus each tied parameter's weights from its first
module to its last.
"""

import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, _get_current_function_mode, _pop_mode, _push_mode

from addax.access_guard import ParameterAccessGuard, any_aliased
from addax.scratch import Scratch, in_use, outliving
from addax.swap_context import TRACED, check_context
from addax.swap_units import Unit, tied_among, units_of
from addax.watched import watched_class

#: Computes the perturbed weights of a parameter from its values, into memory taken from the scratch.
Perturb = Callable[[nn.Parameter, Tensor], Tensor]


class WeightSwap:
    """Evaluates losses of a model with swapped weights, in one thread and outside torch.func's transforms.

    Args:
        model: the model.
        parameters: the parameters to swap.

    Attributes:
        whole: whether all parameters are swapped during the whole evaluation.
        units: the model's units while hooks are attached.
        tied: the parameters that belong to several units, and the number of these units.
        uses_autocast: whether a module has run under autocast.
        has_read: whether the last closure has read a parameter.
    """

    def __init__(self, model: nn.Module, parameters: Collection[nn.Parameter]) -> None:
        self.model = model
        self.parameters = parameters
        self.whole = False
        self.uses_autocast = False
        self.has_read = False
        self.units: list[Unit] = []
        self.tied: dict[nn.Parameter, int] = {}
        self._watched: dict[type[Tensor], type[Tensor]] = {}
        self._forget()

    def _forget(self) -> None:
        self._live = False
        self._detach: list[Callable[[], None]] = []
        self._guard: ParameterAccessGuard | None = None
        self._theta: dict[nn.Parameter, Tensor] = {}
        self._kinds: dict[nn.Parameter, type[Tensor]] = {}
        self._perturb: Perturb | None = None
        self._scratch: Scratch | None = None
        self._mode: TorchFunctionMode | None = None
        self._paused: list[TorchFunctionMode] = []
        # The running modules, outermost first, and the parameters that each of them uses so far.
        self._running: list[tuple[nn.Module, list[nn.Parameter]]] = []
        self._users: Counter[nn.Parameter] = Counter()
        self._swapped: dict[nn.Parameter, Tensor] = {}
        # For tied parameters: the perturbed weights while no unit runs, and the units that have run.
        self._waiting: dict[nn.Parameter, Tensor] = {}
        self._served: dict[nn.Parameter, set[nn.Module]] = {}

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
        self.whole = self.whole or isinstance(self.model, torch.jit.ScriptModule)
        self.units = [] if self.whole else self.find_units()
        self.tied = tied_among(self.units)
        self._guard = ParameterAccessGuard(self.model, self.parameters) if self.is_aliased() else None
        self._theta = {p: p.data for p in self.parameters}
        self._kinds = {p: type(p) for p in self.parameters}
        for kind in set(self._kinds.values()) - self._watched.keys():
            self._watched[kind] = self.class_of(kind)
        self._thread = threading.get_ident()
        for unit in self.units:
            self._hook(unit)

    def find_units(self) -> list[Unit]:
        """Return the units of the model, each of which gets hooks."""
        return units_of(self.model, self.parameters)

    def is_aliased(self) -> bool:
        """Return whether a tensor outside the model shares memory with a parameter."""
        return any_aliased(self.model, self.parameters)

    def class_of(self, kind: type[Tensor]) -> type[Tensor]:
        """Return the class of parameters that are not swapped in, by their own class."""
        return watched_class(kind, self)

    def largest_unit(self) -> int:
        """Return the largest number of elements that a unit swaps in, without tied parameters."""
        if self.whole:
            return in_use(self.parameters)
        return max((in_use(p for p in u.parameters if p not in self.tied) for u in self.units), default=0)

    def _remove_hooks(self) -> None:
        for detach in self._detach:
            detach()
        # Keep no reference to theta, which would look like an alias in the next step, and none to scratch.
        self._forget()

    @property
    def compiled(self) -> bool:
        """Whether a part of the model is compiled."""
        return self.whole or any(unit.compiled for unit in self.units)

    def evaluate(self, loss: Callable[[], Any], perturb: Perturb, scratch: Scratch) -> Any:
        """Call the closure, with swapped weights wherever it reads a parameter, and return its result.

        Args:
            loss: the closure.
            perturb: returns the weights to swap in for a parameter, in memory taken from `scratch`.
            scratch: the memory of the perturbed weights, which is released after use.
        """
        self._mode, self._paused = _get_current_function_mode(), []
        self._perturb, self._scratch = perturb, scratch
        self._running, self._users, self._swapped, self._waiting = [], Counter(), {}, {}
        self._served = {p: set() for p in self.tied}
        scratch.begin()
        try:
            try:
                self._live, self.has_read = True, False
                for p, kind in self._kinds.items():
                    p.__class__ = self._watched[kind]
                if self.whole:
                    self._use(self.parameters, [])
                # An interrupt at the end of a `with` statement could leave the guard active.
                if self._guard:
                    self._guard.__enter__()
                return loss()
            finally:
                self._restore()
        finally:
            self._restore()

    def _restore(self) -> None:
        self._live = False
        if self._guard:
            self._guard.remove()
        for p, kind in self._kinds.items():
            p.__class__ = kind
        for p in self._swapped:
            p.data = self._theta[p]

    def _hook(self, unit: Unit) -> None:
        module, enter, leave = unit.module, self._enter_hook(unit), self._leave_hook(unit)
        if module._compiled_call_impl is None:
            self._detach.append(module.register_forward_pre_hook(enter, prepend=True).remove)
            self._detach.append(module.register_forward_hook(leave, always_call=True).remove)
            return
        compiled = module._compiled_call_impl

        def call(*args: Any, **kwargs: Any) -> Any:
            enter(module, args)
            output = None
            try:
                output = compiled(*args, **kwargs)
            finally:
                copied = leave(module, args, output)
            return output if copied is None else copied

        module._compiled_call_impl = call
        self._detach.append(lambda: setattr(module, "_compiled_call_impl", compiled))

    def _enter_hook(self, unit: Unit) -> Callable:
        parameters = unit.parameters

        def enter(module: nn.Module, _inputs: Any) -> None:
            if torch.compiler.is_compiling():
                raise RuntimeError(TRACED)
            if not self._live:
                return
            check_context(type(module).__name__, self._thread)
            self.uses_autocast = self.uses_autocast or torch._C._is_any_autocast_enabled()
            held: list[nn.Parameter] = []
            self._running.append((module, held))
            self._use(parameters, held)
            if unit.compiled and self._mode and _get_current_function_mode() is self._mode:
                # Otherwise the compiler would trace the mode into its graph.
                self._paused.append(_pop_mode())

        return enter

    def _leave_hook(self, unit: Unit) -> Callable:
        def leave(module: nn.Module, _inputs: Any, output: Any) -> Any:
            # A closure may catch an error (such as out of memory) that was raised in the module's pre-hook.
            # The module was not entered then.
            if not self._live or not self._running or self._running[-1][0] is not module:
                return None
            _, held = self._running.pop()
            if unit.compiled and self._paused:
                _push_mode(self._paused.pop())
            for p in unit.parameters:
                if p in self._served:
                    self._served[p].add(module)
            if not held:
                return None
            copied = outliving(output, [self._swapped[p] for p in held])
            self._release(held)
            return copied

        return leave

    def read(self, func: Callable[..., Any], watched: list[nn.Parameter], args: Any, kwargs: Any) -> Any:
        """Call a function that reads parameters outside their modules, with the perturbed weights."""
        known = []
        for p in dict.fromkeys(watched):
            if self._live and p in self._theta:
                known.append(p)
            else:
                # The closure has copied a watched parameter.
                p.__class__ = type(p).__base__
        check_context(getattr(func, "__name__", "an operator"), self._thread)
        held = self._running[-1][1] if self._running else []
        self._use(known, held)
        output = func(*args, **kwargs)
        if not self._running and outliving(output, [self._swapped[p] for p in held]) is None:
            self._release(held)
        return output

    def _use(self, parameters: Iterable[nn.Parameter], held: list[nn.Parameter]) -> None:
        """Swap in parameters for a user that holds them until `_release`."""
        # Autograd reads a weight again in the backward pass, so the weight stays until the end.
        uses = 2 if torch.is_grad_enabled() else 1
        for p in parameters:
            if p not in self._swapped:
                self._swap_in(p)
            self._users[p] += uses
            held.append(p)

    def _release(self, held: list[nn.Parameter]) -> None:
        for p in reversed(held):
            self._users[p] -= 1
            if not self._users[p]:
                self._swap_out(p)

    def _swap_in(self, p: nn.Parameter) -> None:
        self.has_read = True
        if p in self._waiting:
            perturbed = self._waiting.pop(p)
        else:
            with self._guard.paused() if self._guard else nullcontext():
                perturbed = self._perturb(p, self._theta[p])
        self._swapped[p] = perturbed
        p.__class__ = self._kinds[p]
        p.data = perturbed

    def _swap_out(self, p: nn.Parameter) -> None:
        # If an interrupt arrives between two of these statements, `_restore` still restores theta.
        p.data = self._theta[p]
        p.__class__ = self._watched[self._kinds[p]]
        perturbed = self._swapped.pop(p)
        if p in self._served and len(self._served[p]) < self.tied[p]:
            self._waiting[p] = perturbed
        else:
            # Start over, because the closure may run the model again.
            self._served.get(p, set()).clear()
            self._scratch.release(perturbed)
