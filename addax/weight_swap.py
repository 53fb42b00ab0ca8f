"""Weight swap: during the evaluation of a loss, modules see other weights in their forward.

Just before a module's forward its parameters are pointed at perturbed weights, and back afterwards. A
parameter that is tied to several modules keeps its perturbed weights until the last of them has run, so they
are computed once. If an evaluation is interrupted, the parameters still point at their original memory, and
no active hook remains.

Memory: one module's weights; a tied parameter's weights in addition, from its first module to its last.
"""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear

from addax.access_guard import ParameterAccessGuard
from addax.scratch import Scratch, outliving

Owner = tuple[nn.Module, list[nn.Parameter]]

# Modules that only contain parameters, which their parent reads in its forward.
_NEVER_CALLED = (nn.ParameterList, nn.ParameterDict, NonDynamicallyQuantizableLinear)


def owners_of(model: nn.Module, parameters: Sequence[nn.Parameter]) -> list[Owner]:
    """Return the modules whose forward reads some of the parameters, with those parameters."""
    owners = []
    for module in model.modules():
        used = [*module.parameters(recurse=False)]
        used += [p for c in module.children() if isinstance(c, _NEVER_CALLED) for p in c.parameters()]
        own = [p for p in dict.fromkeys(used) if p in parameters]
        if own:
            owners.append((module, own))
    return owners


def tied_among(owners: Sequence[Owner]) -> dict[nn.Parameter, int]:
    """Return the parameters that several modules own, and how many modules."""
    uses = Counter(p for _, own in owners for p in own)
    return {p: n for p, n in uses.items() if n > 1}


class SwappedWeights:
    """One evaluation of a loss on swapped weights, in one thread and outside torch.func's transforms.

    Args:
        owners: modules and the parameters that their forward reads.
        tied: parameters with several owners, and the number of owners.
        perturb: returns the weights to swap in for a parameter, in memory of `scratch`.
        scratch: where that memory is released.
        guard: finds parameters that are read outside their module's forward; paused while one is perturbed.
    """

    def __init__(
        self,
        owners: Sequence[Owner],
        tied: dict[nn.Parameter, int],
        perturb: Callable[[nn.Parameter], Tensor],
        scratch: Scratch,
        guard: ParameterAccessGuard | None,
    ) -> None:
        self.owners = owners
        self.tied = tied
        self.perturb = perturb
        self.scratch = scratch
        self.guard = guard
        self.live = True
        self.thread = threading.get_ident()
        self.handles: list[Any] = []
        self.originals: dict[nn.Parameter, Tensor] = {}
        # The running modules, outermost first, and the parameters that each has swapped so far.
        self.running: list[tuple[nn.Module, list[nn.Parameter]]] = []
        self.users: Counter[nn.Parameter] = Counter()
        # Tied parameters: perturbed weights between two of their modules, and the modules that have run.
        self.waiting: dict[nn.Parameter, Tensor] = {}
        self.served: dict[nn.Parameter, set[nn.Module]] = {p: set() for p in tied}

    def evaluate(self, loss: Callable[[], Any]) -> Any:
        """Return what the closure returns when every module that it runs sees the swapped weights."""
        try:
            try:
                for module, own in self.owners:
                    self.handles.append(module.register_forward_pre_hook(self._entering(own), prepend=True))
                    self.handles.append(module.register_forward_hook(self._leaving(own), always_call=True))
                with self.guard or nullcontext():
                    return loss()
            finally:
                self._restore()
        finally:
            # An interrupt may have cut the first call short.
            self._restore()

    def _restore(self) -> None:
        self.live = False
        for p, original in self.originals.items():
            p.data = original
        for handle in self.handles:
            handle.remove()

    def _entering(self, parameters: list[nn.Parameter]) -> Callable:
        def enter(module: nn.Module, _inputs: Any) -> None:
            if not self.live:
                return
            self._refuse(module)
            swapped: list[nn.Parameter] = []
            self.running.append((module, swapped))
            for p in parameters:
                if p not in self.originals:
                    self._swap_in(p)
                self.users[p] += 1
                swapped.append(p)

        return enter

    def _leaving(self, parameters: list[nn.Parameter]) -> Callable:
        def leave(module: nn.Module, _inputs: Any, output: Any) -> Any:
            # A closure may continue after an error (out of memory, for example) that kept the module from
            # being entered completely.
            if not self.live or not self.running or self.running[-1][0] is not module:
                return None
            _, swapped = self.running.pop()
            copied = outliving(output, parameters)
            for p in reversed(swapped):
                self.users[p] -= 1
                if p in self.served:
                    self.served[p].add(module)
                if not self.users[p]:
                    self._swap_out(p)
            return copied

        return leave

    def _refuse(self, module: nn.Module) -> None:
        """Reject calls that would silently perturb the wrong weights or read freed memory."""
        kind = type(module).__name__
        if threading.get_ident() != self.thread:
            raise ValueError(
                f"zo_loss runs {kind} in a thread of its own, where modules cannot be perturbed one at a "
                "time: run the model in the thread that takes the step"
            )
        if torch._C._functorch.maybe_current_level() is not None:
            raise ValueError(
                f"zo_loss runs {kind} within a transform of torch.func (grad, jvp, vmap, ...), where weights "
                "cannot be exchanged: use torch.autograd or batched operators instead"
            )

    def _swap_in(self, p: nn.Parameter) -> None:
        if p in self.waiting:
            perturbed = self.waiting.pop(p)
        else:
            with self.guard.paused() if self.guard else nullcontext():
                perturbed = self.perturb(p)
        self.originals[p] = p.data
        p.data = perturbed

    def _swap_out(self, p: nn.Parameter) -> None:
        if p in self.served and len(self.served[p]) < self.tied[p]:
            self.waiting[p] = p.data
        else:
            # Reset: the closure may run the model again.
            self.served.get(p, set()).clear()
            self.scratch.release(p.data)
        # In this order, an interrupt between the two statements loses nothing.
        p.data = self.originals[p]
        del self.originals[p]
