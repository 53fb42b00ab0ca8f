"""Hooks that tell a weight swap when the forward of a module begins and ends.

The hooks exist only while an estimate runs, so a copy of the model, or a model that outlives its optimizer,
has none. They are written to the module's dictionaries directly: torch's functions for this build an object
with weak references for each hook, which takes longer than the swap of a small module.
"""

from collections.abc import Callable
from typing import Any

from torch import nn

# torch's own hooks have integer keys.
_KEY = "addax"


class Hooks:
    """The hooks of one module.

    Args:
        module: the module.
        enter: called before each forward.
        leave: called with the output after each forward, also if it raises (then with None); may return
            another output. None saves the call.
    """

    def __init__(
        self, module: nn.Module, enter: Callable[[], None], leave: Callable[[Any], Any] | None
    ) -> None:
        self.module = module
        self._enter = enter
        self._leave = leave
        self._compiled: Callable[..., Any] | None = None

    def attach(self) -> None:
        """Attach the hooks. They run before and after all hooks of others."""
        module = self.module
        if module._compiled_call_impl is not None:
            # torch runs no hooks of a compiled module.
            self._compiled, module._compiled_call_impl = module._compiled_call_impl, self._call
            return
        module._forward_pre_hooks[_KEY] = self._before
        if len(module._forward_pre_hooks) > 1:
            module._forward_pre_hooks.move_to_end(_KEY, last=False)
        if self._leave is not None:
            module._forward_hooks[_KEY] = self._after
            module._forward_hooks_always_called[_KEY] = True

    def detach(self) -> None:
        """Remove the hooks, if they are attached."""
        module = self.module
        module._forward_pre_hooks.pop(_KEY, None)
        if self._leave is not None:
            module._forward_hooks.pop(_KEY, None)
            module._forward_hooks_always_called.pop(_KEY, None)
        if self._compiled is not None:
            # An interrupt between the two assignments is repaired by a second call.
            module._compiled_call_impl, self._compiled = self._compiled, None

    def __reduce__(self) -> tuple[Callable[..., "Hooks"], tuple[()]]:
        """A closure may copy or pickle the model. The hooks of the copy do nothing."""
        return _without_effect, ()

    def _before(self, _module: nn.Module, _inputs: Any) -> None:
        self._enter()

    def _after(self, _module: nn.Module, _inputs: Any, output: Any) -> Any:
        return None if self._leave is None else self._leave(output)

    def _call(self, *args: Any, **kwargs: Any) -> Any:
        self._enter()
        output = None
        try:
            output = self._compiled(*args, **kwargs)
        finally:
            copied = None if self._leave is None else self._leave(output)
        return output if copied is None else copied


def _without_effect() -> Hooks:
    return Hooks(nn.Module(), _do_nothing, None)


def _do_nothing() -> None:
    """Do nothing before a forward."""
