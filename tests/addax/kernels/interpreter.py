"""Run the kernels on CPU tensors in triton's interpreter, whatever the environment says.

Three things of the interpreter are replaced:
- Its fused multiply-add rounds twice. Here, the product is exact (in float64).
- Every call of a device function patches triton's language anew, which takes milliseconds. Here, the kernel's
  own patch suffices.

- triton 3.6 cannot use its scalars as bounds of loops with NumPy 2.4. Here, it can.

It also leaves out the checks for overflow of integers, which a GPU does not make either.
"""

import importlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any
from unittest import mock

import numpy as np
from triton.runtime import interpreter
from triton.runtime.jit import JITFunction

MODULES = ("philox", "normals", "formats", "launch", "perturb", "update_kernels", "draw")


class Device(interpreter.InterpretedFunction):
    """An interpreted kernel or device function."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call a device function from an interpreted kernel."""
        return self.rewrite()(*args, **kwargs)


@cache
def interpreted(function: Callable) -> Device:
    """Return the interpreted form of a Python function."""
    return Device(function)


def fused(x: Any, y: Any, z: Any) -> interpreter.TensorHandle:
    """Return x y + z of float32, rounded once (except in rare ties of the float64 sum)."""
    total = x.data.astype(np.float64) * y.data.astype(np.float64) + z.data.astype(np.float64)
    return interpreter.TensorHandle(total.astype(np.float32), z.dtype.scalar)


def with_scalar_bounds(patch: Callable) -> Callable:
    """Return a form of the interpreter's patch of tensors whose scalars work as bounds of loops."""

    def patched(tensor: Any, scope: Any) -> None:
        patch(tensor, scope)
        scope.set_attr(tensor, "__index__", lambda self: self.handle.data.item())

    return patched


@contextmanager
def kernels_on_cpu() -> Iterator[None]:
    """Let the kernels run on CPU tensors."""
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(interpreter.interpreter_builder, "create_fma", fused))
        bounds = with_scalar_bounds(interpreter._patch_lang_tensor)
        stack.enter_context(mock.patch.object(interpreter, "_patch_lang_tensor", bounds))
        options = interpreter.InterpreterOptions(sanitize_overflow=False)
        stack.enter_context(mock.patch.object(interpreter.interpreter_builder, "options", options))
        stack.enter_context(np.errstate(all="ignore"))
        for name in MODULES:
            module = importlib.import_module(f"addax.kernels.{name}")
            for key, value in list(vars(module).items()):
                if isinstance(value, JITFunction):
                    stack.enter_context(mock.patch.object(module, key, interpreted(value.fn)))
        yield
