"""Swap units: the modules whose forward reads trainable parameters, and the compiled modules among them."""

import sys
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True)
class Unit:
    """A module whose perturbed weights are swapped in while its forward runs.

    Attributes:
        module: the module.
        parameters: the trainable parameters that are swapped in when the forward begins: those of the module
            itself, or those of the whole subtree if the module is compiled.
        compiled: whether torch compiled the module.
    """

    module: nn.Module
    parameters: tuple[nn.Parameter, ...]
    compiled: bool = False


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


def tied_among(units: Sequence[Unit]) -> dict[nn.Parameter, int]:
    """Return the parameters that belong to several units, with the number of these units."""
    uses = Counter(p for unit in units for p in unit.parameters)
    return {p: n for p, n in uses.items() if n > 1}
