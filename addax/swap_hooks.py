"""Hooks that tell a weight swap when the forward of a module begins and ends.

The hooks are written to the module's dictionaries directly. torch's functions for this build an object with
weak references for each hook, which takes longer than a small module's whole swap.
"""

from collections.abc import Callable
from typing import Any

from torch import nn

from addax.swap_units import Unit

Enter = Callable[[Unit], None]
Leave = Callable[[Unit, Any], Any]

# torch's own hooks have integer keys.
_KEY = "addax"


def attach(unit: Unit, enter: Enter, leave: Leave) -> None:
    """Call `enter` before and `leave` after each forward of a unit's module, also if the forward raises.

    `leave` gets the output (None after an error) and may return another one.
    """
    module = unit.module
    if module._compiled_call_impl is not None:
        module._compiled_call_impl = _around(module._compiled_call_impl, unit, enter, leave)
        return

    def before(_module: nn.Module, _inputs: Any) -> None:
        enter(unit)

    def after(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        return leave(unit, output)

    module._forward_pre_hooks[_KEY] = before
    module._forward_pre_hooks.move_to_end(_KEY, last=False)
    module._forward_hooks[_KEY] = after
    module._forward_hooks_always_called[_KEY] = True


def detach(unit: Unit) -> None:
    """Remove the hooks of a unit, if it has any."""
    module = unit.module
    module._forward_pre_hooks.pop(_KEY, None)
    module._forward_hooks.pop(_KEY, None)
    module._forward_hooks_always_called.pop(_KEY, None)
    compiled = module._compiled_call_impl
    if compiled is not None:
        module._compiled_call_impl = getattr(compiled, "_addax_original", compiled)


def _around(compiled: Callable[..., Any], unit: Unit, enter: Enter, leave: Leave) -> Callable[..., Any]:
    # torch runs no hooks of a compiled module.
    def call(*args: Any, **kwargs: Any) -> Any:
        enter(unit)
        output = None
        try:
            output = compiled(*args, **kwargs)
        finally:
            copied = leave(unit, output)
        return output if copied is None else copied

    call._addax_original = compiled
    return call
