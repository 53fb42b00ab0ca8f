"""Stand-ins: while a loss is evaluated, parameters point at other weights for the time of a module's forward.

Just before a module's forward its parameters are pointed at weights made for it, and back afterwards. A
parameter tied to several modules keeps its stand-in until the last of them has run, rather than have it
made once for each. Whatever interrupts an evaluation, parameters point where they did, and no hook that
does anything stays behind.

Memory: one module's stand-ins; a tied parameter's besides, from its first module to its last.
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

# Modules that only hold parameters, which their parent reads in its own forward.
_NEVER_CALLED = (nn.ParameterList, nn.ParameterDict, NonDynamicallyQuantizableLinear)


def owners_of(model: nn.Module, parameters: Sequence[nn.Parameter]) -> list[Owner]:
    """Modules whose own forward reads some of the parameters, with those."""
    owners = []
    for module in model.modules():
        used = [*module.parameters(recurse=False)]
        used += [p for c in module.children() if isinstance(c, _NEVER_CALLED) for p in c.parameters()]
        own = [p for p in dict.fromkeys(used) if p in parameters]
        if own:
            owners.append((module, own))
    return owners


def tied_among(owners: Sequence[Owner]) -> dict[nn.Parameter, int]:
    """Parameters that several modules own, and how many."""
    uses = Counter(p for _, own in owners for p in own)
    return {p: n for p, n in uses.items() if n > 1}


class SwappedWeights:
    """One evaluation of a loss on stand-ins, by one thread and outside of torch.func's transforms.

    Args:
        owners: modules and the parameters that their forward reads.
        tied: parameters with several owners, and how many.
        make: the stand-in of a parameter, in memory of `scratch`.
        scratch: where to give it back.
        watch: looks for parameters read outside their module's forward, and away while one is made.
    """

    def __init__(
        self,
        owners: Sequence[Owner],
        tied: dict[nn.Parameter, int],
        make: Callable[[nn.Parameter], Tensor],
        scratch: Scratch,
        watch: ParameterAccessGuard | None,
    ) -> None:
        self.owners = owners
        self.tied = tied
        self.make = make
        self.scratch = scratch
        self.watch = watch
        self.live = True
        self.thread = threading.get_ident()
        self.handles: list[Any] = []
        self.originals: dict[nn.Parameter, Tensor] = {}
        # Modules that run now, outermost first, and what of their parameters each of them has entered with.
        self.running: list[tuple[nn.Module, list[nn.Parameter]]] = []
        self.users: Counter[nn.Parameter] = Counter()
        # Of tied parameters: stand-ins between two of their modules, and which of these have run.
        self.waiting: dict[nn.Parameter, Tensor] = {}
        self.served: dict[nn.Parameter, set[nn.Module]] = {p: set() for p in tied}

    def evaluate(self, loss: Callable[[], Any]) -> Any:
        """What the closure returns when every module that it runs sees the stand-ins."""
        try:
            try:
                for module, own in self.owners:
                    self.handles.append(module.register_forward_pre_hook(self._entering(own), prepend=True))
                    self.handles.append(module.register_forward_hook(self._leaving(own), always_call=True))
                with self.watch or nullcontext():
                    return loss()
            finally:
                self._restore()
        finally:
            # An interrupt may have cut the first short.
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
            held: list[nn.Parameter] = []
            self.running.append((module, held))
            for p in parameters:
                if p not in self.originals:
                    self._point_at_stand_in(p)
                self.users[p] += 1
                held.append(p)

        return enter

    def _leaving(self, parameters: list[nn.Parameter]) -> Callable:
        def leave(module: nn.Module, _inputs: Any, output: Any) -> Any:
            # A closure may go on after an error, memory that ran out for one, that kept the module from
            # being entered, or from being entered in full.
            if not self.live or not self.running or self.running[-1][0] is not module:
                return None
            _, held = self.running.pop()
            kept = outliving(output, parameters)
            for p in reversed(held):
                self.users[p] -= 1
                if p in self.served:
                    self.served[p].add(module)
                if not self.users[p]:
                    self._point_back(p)
            return kept

        return leave

    def _refuse(self, module: nn.Module) -> None:
        """What would perturb weights wrongly, or end in memory that is not there, without a sign of it."""
        kind = type(module).__name__
        if threading.get_ident() != self.thread:
            raise ValueError(
                f"zo_loss runs {kind} in a thread of its own, where modules cannot be perturbed one at a "
                "time: run the model in the thread that takes the step"
            )
        if torch._C._functorch.maybe_current_level() is not None:
            raise ValueError(
                f"zo_loss runs {kind} within a transform of torch.func (grad, jvp, vmap, ...), where weights "
                "cannot be exchanged: use torch.autograd or batched operators in its stead"
            )

    def _point_at_stand_in(self, p: nn.Parameter) -> None:
        if p in self.waiting:
            stand_in = self.waiting.pop(p)
        else:
            with self.watch.paused() if self.watch else nullcontext():
                stand_in = self.make(p)
        self.originals[p] = p.data
        p.data = stand_in

    def _point_back(self, p: nn.Parameter) -> None:
        if p in self.served and len(self.served[p]) < self.tied[p]:
            self.waiting[p] = p.data
        else:
            # The closure may run the model again.
            self.served.get(p, set()).clear()
            self.scratch.release(p.data)
        # In this order, so that an interrupt between the two loses nothing.
        p.data = self.originals[p]
        del self.originals[p]
