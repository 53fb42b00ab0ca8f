"""Generators: find every random generator that a forward pass can draw from, and save its state.

These are torch's default generators, the global generators of numpy and Python, generators that modules hold
as attributes, and generators to which the forwards of modules and the closure refer by a global or enclosing
name, also in functions of the same file that they call.
"""

import functools
import random
import sys
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import nn

#: A function that restores a saved state.
Restore = Callable[[], None]

# These packages draw from the default generators and from those that a module holds.
_LIBRARIES = frozenset({"torch", "transformers", "peft"})
# Attributes that every module has.
_OWN = frozenset(vars(nn.Module()))


def saved_generators(
    modules: Iterable[nn.Module], devices: Iterable[torch.device], closure: Callable[..., Any]
) -> list[Restore]:
    """Save the state of every generator, and return functions that restore them.

    Args:
        modules: the modules whose forwards run.
        devices: the devices whose default generators are included, in addition to the CPU.
        closure: the function that runs the modules.
    """
    kinds = _kinds()
    found: dict[int, Any] = {}

    def look_at(value: object) -> None:
        if type(value) in kinds:
            found[id(value)] = value
        elif type(value) in (list, tuple):
            found.update({id(v): v for v in value if type(v) in kinds})
        elif type(value) is dict:
            found.update({id(v): v for v in value.values() if type(v) in kinds})

    forwards = set()
    looked_at = {*kinds, list, tuple, dict}
    for module in modules:
        # TorchScript modules have no such attribute, and their forwards run no Python.
        forwards.add(getattr(type(module), "forward", None))
        attributes = vars(module)
        for name in attributes.keys() - _OWN:
            value = attributes[name]
            if type(value) in looked_at:
                look_at(value)
    for function in (*forwards, closure):
        for value in _referred(function, set()):
            look_at(value)
    return _default_generators(devices) + [kinds[type(g)](g) for g in found.values()]


def _referred(function: object, seen: set[int]) -> Iterator[object]:
    """Yield the values to which a function refers by name, and those of the functions that it calls."""
    if id(function) in seen:
        return
    seen.add(id(function))
    if isinstance(function, functools.partial):
        for value in (function.func, *function.args, *function.keywords.values()):
            yield value
            yield from _referred(value, seen)
    elif isinstance(function, types.BuiltinMethodType):
        # Such as `generator.random`.
        yield function.__self__
    elif isinstance(function, types.MethodType):
        if not isinstance(function.__self__, nn.Module):
            yield from getattr(function.__self__, "__dict__", {}).values()
        yield from _referred(function.__func__, seen)
    elif isinstance(function, types.FunctionType):
        names = function.__globals__
        if names.get("__name__", "").partition(".")[0] in _LIBRARIES:
            names = {}
        for name in function.__code__.co_names:
            value = names.get(name)
            yield value
            same_file = isinstance(value, types.FunctionType) and value.__globals__ is names
            if same_file or isinstance(value, (types.BuiltinMethodType, functools.partial)):
                yield from _referred(value, seen)
        for value in (*(function.__defaults__ or ()), *_enclosed(function)):
            yield value
            yield from _referred(value, seen)


def _enclosed(function: types.FunctionType) -> Iterator[object]:
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:
            # The enclosing function has not assigned the name yet.
            continue


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


def _kinds() -> dict[type, Callable[[Any], Restore]]:
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
