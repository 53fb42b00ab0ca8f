"""Forward state: what a forward pass changes besides its result, so that two evaluations start alike.

The state consists of the model's buffers and of every generator that a forward pass can draw from: torch's
default generators, the global generators of numpy and Python, and generators that modules hold as attributes.

Memory: a copy of every buffer, except large buffers of integers or of 8-bit floats. Such buffers hold
quantized weights, which a forward pass does not change. A change is an error.
"""

import random
import sys
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

#: Buffers of integers or of 8-bit floats with more elements than this are not copied.
LARGEST_PACKED_COPY = 1 << 16

#: A function that restores a saved part of the state.
Restore = Callable[[], None]


class ForwardState:
    """The buffers of a model and the states of the generators at one moment.

    Args:
        model: the model. The default generators of its devices are included.
    """

    def __init__(self, model: nn.Module) -> None:
        self._names: list[tuple[nn.Module, dict[str, Tensor | None]]] = []
        self._buffers: dict[Tensor, tuple[Tensor | None, int]] = {}
        kinds = _generator_kinds()
        held: dict[int, Any] = {}
        devices: set[torch.device] = set()
        for module in model.modules():
            devices |= {p.device for p in module._parameters.values() if p is not None}
            if module._buffers:
                self._names.append((module, dict(module._buffers)))
            held |= {id(value): value for value in vars(module).values() if type(value) in kinds}
        for _, buffers in self._names:
            for buffer in buffers.values():
                if buffer is not None and buffer not in self._buffers:
                    copy = _copy_of(buffer)
                    # Some operators change buffers without counting versions, so most buffers are copied.
                    self._buffers[buffer] = (copy, buffer._version if copy is None else 0)
        self._generators = _default_generators(devices)
        self._generators += [kinds[type(generator)](generator) for generator in held.values()]

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


def _default_generators(devices: Iterable[torch.device]) -> list[Restore]:
    cpu, python = torch.get_rng_state(), random.getstate()
    restores = [lambda: torch.set_rng_state(cpu), lambda: random.setstate(python)]
    if numpy := sys.modules.get("numpy"):
        state = numpy.random.get_state()
        restores.append(lambda: numpy.random.set_state(state))
    return restores + [_device_generator(d) for d in devices if d.type not in ("cpu", "meta")]


def _device_generator(device: torch.device) -> Restore:
    library = torch.get_device_module(device)
    state = library.get_rng_state(device)
    return lambda: library.set_rng_state(state, device)


def _generator_kinds() -> dict[type, Callable[[Any], Restore]]:
    """Return the types of generator objects, each with a function that saves the state of an object."""
    kinds: dict[type, Callable[[Any], Restore]] = {
        torch.Generator: _torch_generator,
        random.Random: _python_generator,
    }
    if numpy := sys.modules.get("numpy"):
        kinds[numpy.random.Generator] = _numpy_generator
        kinds[numpy.random.RandomState] = _random_state
    return kinds


def _torch_generator(generator: torch.Generator) -> Restore:
    state = generator.get_state()
    return lambda: generator.set_state(state)


def _python_generator(generator: random.Random) -> Restore:
    state = generator.getstate()
    return lambda: generator.setstate(state)


def _numpy_generator(generator: Any) -> Restore:
    state = generator.bit_generator.state
    return lambda: setattr(generator.bit_generator, "state", state)


def _random_state(generator: Any) -> Restore:
    state = generator.get_state()
    return lambda: generator.set_state(state)
