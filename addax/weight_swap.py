"""Weight swap: evaluate a loss with perturbed weights, one module at a time.

Just before a module's forward, its parameters are pointed at perturbed weights. After the forward, they are
pointed back at the original ones. The perturbed weights of a parameter that is tied to several modules live
until the last of these modules has run, so they are computed once. After an interrupted evaluation, the
parameters point at their original memory, and no hook is active.

Memory: one module's weights, plus each tied parameter's weights from its first module to its last.
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

# These modules only contain parameters. Their parent reads the parameters in its forward.
_NEVER_CALLED = (nn.ParameterList, nn.ParameterDict, NonDynamicallyQuantizableLinear)


def owners_of(model: nn.Module, parameters: Sequence[nn.Parameter]) -> list[Owner]:
    """Return every module whose forward reads some of the parameters, paired with those parameters."""
    owners = []
    for module in model.modules():
        used = [*module.parameters(recurse=False)]
        used += [p for c in module.children() if isinstance(c, _NEVER_CALLED) for p in c.parameters()]
        owned = [p for p in dict.fromkeys(used) if p in parameters]
        if owned:
            owners.append((module, owned))
    return owners


def tied_among(owners: Sequence[Owner]) -> dict[nn.Parameter, int]:
    """Return the parameters that several modules own, with the number of these modules."""
    uses = Counter(p for _, owned in owners for p in owned)
    return {p: n for p, n in uses.items() if n > 1}


class SwappedWeights:
    """One evaluation of a loss with swapped weights, in one thread and outside torch.func's transforms.

    Args:
        owners: the modules and the parameters that their forward reads.
        tied: the parameters with several owners, and their number of owners.
        perturb: returns the weights to swap in for a parameter, in memory taken from `scratch`.
        scratch: the memory of the perturbed weights, which is released after use.
        guard: detects parameters that are read outside their module's forward. It is paused while a
            parameter is perturbed.
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
        # The running modules, outermost first, and the parameters that each of them uses so far.
        self.running: list[tuple[nn.Module, list[nn.Parameter]]] = []
        self.users: Counter[nn.Parameter] = Counter()
        # For tied parameters: the perturbed weights while no owner runs, and the owners that have run.
        self.waiting: dict[nn.Parameter, Tensor] = {}
        self.served: dict[nn.Parameter, set[nn.Module]] = {p: set() for p in tied}

    def evaluate(self, loss: Callable[[], Any]) -> Any:
        """Call the closure, with swapped weights in every module that it runs, and return its result."""
        try:
            try:
                for module, owned in self.owners:
                    self.handles.append(
                        module.register_forward_pre_hook(self._enter_hook(owned), prepend=True)
                    )
                    self.handles.append(
                        module.register_forward_hook(self._leave_hook(owned), always_call=True)
                    )
                with self.guard or nullcontext():
                    return loss()
            finally:
                self._restore()
        finally:
            # An interrupt may have stopped the first call before it was done.
            self._restore()

    def _restore(self) -> None:
        self.live = False
        for p, original in self.originals.items():
            p.data = original
        for handle in self.handles:
            handle.remove()

    def _enter_hook(self, parameters: list[nn.Parameter]) -> Callable:
        def enter(module: nn.Module, _inputs: Any) -> None:
            if not self.live:
                return
            self._check_context(module)
            swapped: list[nn.Parameter] = []
            self.running.append((module, swapped))
            for p in parameters:
                if p not in self.originals:
                    self._swap_in(p)
                self.users[p] += 1
                swapped.append(p)

        return enter

    def _leave_hook(self, parameters: list[nn.Parameter]) -> Callable:
        def leave(module: nn.Module, _inputs: Any, output: Any) -> Any:
            # A closure may catch an error (such as out of memory) that was raised in the module's pre-hook.
            # The module was not entered then.
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

    def _check_context(self, module: nn.Module) -> None:
        """Reject calls that would silently perturb the wrong weights or read freed memory."""
        kind = type(module).__name__
        if threading.get_ident() != self.thread:
            raise ValueError(
                f"zo_loss runs {kind} in a different thread, where modules cannot be perturbed one at a "
                "time: run the model in the thread that calls step"
            )
        if torch._C._functorch.maybe_current_level() is not None:
            raise ValueError(
                f"zo_loss runs {kind} inside a torch.func transform (grad, jvp, vmap, ...), where weights "
                "cannot be swapped: use torch.autograd or batched operators instead"
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
            # Start over, because the closure may run the model again.
            self.served.get(p, set()).clear()
            self.scratch.release(p.data)
        # If an interrupt arrives between these two statements, `_restore` still finds the original.
        p.data = self.originals[p]
        del self.originals[p]
