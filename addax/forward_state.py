"""Forward state: what a forward pass changes besides its result, so that two evaluations start alike.

The state consists of the model's buffers and of every generator that a forward pass can draw from
(`addax.generators`).

Memory: a copy of every buffer, except large buffers of integers or of 8-bit floats. Such buffers hold
quantized weights, which a forward pass does not change. A change is an error.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from addax.generators import saved_generators
from addax.module_tree import modules_of

#: Buffers of integers or of 8-bit floats with more elements than this are not copied.
LARGEST_PACKED_COPY = 1 << 16


class ForwardState:
    """The buffers of a model and the states of the generators at one moment.

    Args:
        model: the model. The default generators of its devices are included.
        closure: the function that will run the model.
    """

    def __init__(self, model: nn.Module, closure: Callable[..., Any]) -> None:
        self._names: list[tuple[nn.Module, dict[str, Tensor | None]]] = []
        self._buffers: dict[Tensor, tuple[Tensor | None, int]] = {}
        devices: set[torch.device] = set()
        modules = modules_of(model)
        for module in modules:
            devices |= {p.device for p in module._parameters.values() if p is not None}
            if module._buffers:
                self._names.append((module, dict(module._buffers)))
        for _, buffers in self._names:
            for buffer in buffers.values():
                if buffer is not None and buffer not in self._buffers:
                    copy = _copy_of(buffer)
                    # Some operators change buffers without counting versions, so most buffers are copied.
                    self._buffers[buffer] = (copy, buffer._version if copy is None else 0)
        self._generators = saved_generators(modules, devices, closure)

    @torch.no_grad()
    def restore(self) -> None:
        """Bring the buffers and the generators back to this state.

        Raises:
            ValueError: if a buffer of which there is no copy has changed.
        """
        for restore in self._generators:
            restore()
        for module, buffers in self._names:
            current = module._buffers
            if len(current) != len(buffers) or any(current.get(n) is not b for n, b in buffers.items()):
                current.clear()
                current.update(buffers)
        for buffer, (copy, version) in self._buffers.items():
            if copy is not None:
                _write(buffer, copy)
            elif buffer._version != version:
                raise ValueError(
                    f"zo_loss changed buffer {self._name(buffer)!r}, which looks like quantized weights "
                    f"({buffer.numel():,} elements of {buffer.dtype}) and is therefore not copied: both "
                    "evaluations must start from the same state, so undo the change in the closure"
                )

    def _name(self, buffer: Tensor) -> str:
        for module, buffers in self._names:
            for name, value in buffers.items():
                if value is buffer:
                    return f"{type(module).__name__}.{name}"
        raise KeyError("not a buffer of the model")


def _copy_of(buffer: Tensor) -> Tensor | None:
    packed = buffer.element_size() == 1 or not (buffer.is_floating_point() or buffer.is_complex())
    if packed and buffer.numel() > LARGEST_PACKED_COPY and not buffer.is_inference():
        return None
    return buffer.detach().clone()


def _write(buffer: Tensor, copy: Tensor) -> None:
    if buffer.shape != copy.shape:
        # Observers of quantization resize their buffers.
        buffer.resize_(copy.shape)
    buffer.copy_(copy)
