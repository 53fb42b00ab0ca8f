"""Swap units: the modules whose forward reads trainable parameters, and the compiled modules among them."""

import operator
import sys
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from addax.module_tree import modules_of
from addax.scratch import in_use
from addax.small_tensors import is_small


class Slot:
    """One parameter, and where its weights are during an evaluation.

    Attributes:
        parameter: the parameter.
        units: the number of units that it belongs to.
        small: whether it is small.
        tied: whether it is a large parameter of several units.
        theta: its values; None outside of estimates.
        kind: its class.
        perturbed: the weights that it points at; None if it points at theta.
        waiting: the perturbed weights of a tied parameter while no unit runs.
        users: the number of its current uses.
        served: the units that have run, for a tied parameter.
    """

    __slots__ = (
        "kind",
        "parameter",
        "perturbed",
        "served",
        "small",
        "theta",
        "tied",
        "units",
        "users",
        "waiting",
    )

    def __init__(self, parameter: nn.Parameter, units: int) -> None:
        self.parameter = parameter
        self.units = units
        self.small = is_small(parameter)
        self.tied = units > 1 and not self.small
        self.theta: Tensor | None = None
        self.kind: type[Tensor] = type(parameter)
        self.clear()

    def clear(self) -> None:
        """Forget everything about the last evaluation."""
        self.perturbed: Tensor | None = None
        self.waiting: Tensor | None = None
        self.users = 0
        self.served: set[nn.Module] = set()


@dataclass(frozen=True, eq=False)
class Unit:
    """A module whose perturbed weights are swapped in while its forward runs.

    Attributes:
        module: the module.
        parameters: the trainable parameters that its forward reads: those of the module itself, or those of
            the whole subtree if the module is compiled.
        compiled: whether torch compiled the module.
        large: the slots of the large ones, which are swapped in when the forward begins.
    """

    module: nn.Module
    parameters: tuple[nn.Parameter, ...]
    compiled: bool = False
    large: tuple[Slot, ...] = ()


class Structure:
    """The units and the trainable parameters of a model as it is now.

    Args:
        model: the model.
        trainable: its trainable parameters.
        whole: whether the model has no units, because all parameters are swapped at once.

    Attributes:
        units: the units, children before their parents.
        slots: the slot of each parameter, by the parameter's id.
    """

    def __init__(self, model: nn.Module, trainable: Collection[nn.Parameter], whole: bool) -> None:
        self.model = model
        self.trainable = trainable
        self.whole = whole
        self._devices = [p.device for p in trainable]
        self._found = self._look(whole)
        found = [] if whole else units_of(model, trainable)
        uses = Counter(id(p) for unit in found for p in unit.parameters)
        self.slots = {id(p): Slot(p, uses[id(p)]) for p in trainable}
        self.units = [
            Unit(
                unit.module,
                unit.parameters,
                unit.compiled,
                tuple(self.slots[id(p)] for p in unit.parameters if not is_small(p)),
            )
            for unit in found
        ]

    def is_current(self, whole: bool) -> bool:
        """Return whether the model still has the same modules and parameters on the same devices."""
        now = self._look(whole)
        same = len(now) == len(self._found) and all(map(operator.is_, now, self._found))
        # What is small depends on the device.
        return same and [p.device for p in self.trainable] == self._devices

    @property
    def compiled(self) -> bool:
        """Whether a part of the model is compiled, or all of it runs inside compiled code."""
        return self.whole or any(unit.compiled for unit in self.units)

    def largest_unit(self) -> int:
        """Return the largest number of elements that a unit swaps in, without tied and small parameters."""
        if self.whole:
            return in_use(slot.parameter for slot in self.slots.values() if not slot.small)
        units = ([slot.parameter for slot in unit.large if not slot.tied] for unit in self.units)
        return max(map(in_use, units), default=0)

    def _look(self, whole: bool) -> list[Any]:
        """Return everything that the units depend on."""
        found: list[Any] = [whole, *self.trainable]
        for module in modules_of(self.model):
            found += module, vars(module).get("_compiled_call_impl"), *module._parameters.values()
        return found


def units_of(model: nn.Module, trainable: Collection[nn.Parameter]) -> list[Unit]:
    """Return a unit for every module that contains trainable parameters, children before their parents.

    There are no units for modules inside a compiled module, because torch does not run their hooks, for
    containers without a forward, and for TorchScript modules, which take no hooks. The parameters of a
    TorchScript module belong to the nearest unit above it.
    """
    units: list[Unit] = []
    visited: set[nn.Module] = set()
    containing: set[nn.Module] = set()

    def visit(module: nn.Module) -> list[nn.Parameter]:
        """Visit a subtree, and return the parameters that have to be swapped in by a module above it."""
        if module in visited:
            return []
        visited.add(module)
        if isinstance(module, torch.jit.ScriptModule):
            return _trainable_below(module, trainable)
        compiled = is_compiled(module)
        children = [] if compiled else [child for child in module._modules.values() if child is not None]
        passed_on = [p for child in children for p in visit(child)]
        if compiled:
            own = _trainable_below(module, trainable)
        else:
            own = [p for p in module._parameters.values() if p is not None and p in trainable]
        if own or passed_on or any(child in containing for child in children):
            containing.add(module)
            if type(module).forward is nn.Module.forward and not compiled:
                return passed_on
            units.append(Unit(module, tuple(dict.fromkeys(own + passed_on)), compiled))
        return []

    visit(model)
    return units


def _trainable_below(module: nn.Module, trainable: Collection[nn.Parameter]) -> list[nn.Parameter]:
    return [p for p in module.parameters() if p in trainable]


def is_compiled(module: nn.Module) -> bool:
    """Return whether a module was compiled by `module.compile()` or is the result of `torch.compile`."""
    if module._compiled_call_impl is not None:
        return True
    # A compiled module exists only if torch's compiler has been imported, which takes seconds.
    compiler = sys.modules.get("torch._dynamo.eval_frame")
    return compiler is not None and isinstance(module, compiler.OptimizedModule)
