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
        wraps_call: whether torch compiled the module's call, including its hooks (`Module.compile`).
    """

    module: nn.Module
    parameters: tuple[nn.Parameter, ...]
    wraps_call: bool = False


def units_of(model: nn.Module, trainable: Collection[nn.Parameter]) -> list[Unit]:
    """Return a unit for every module that contains trainable parameters, children before their parents.

    Modules inside a compiled module have no unit, because torch does not run their hooks. Neither have
    containers without a forward.
    """
    units: list[Unit] = []
    visited: dict[nn.Module, bool] = {}

    def visit(module: nn.Module) -> bool:
        """Visit a subtree and return whether it contains trainable parameters."""
        if module in visited:
            return visited[module]
        visited[module] = False
        calls = module._compiled_call_impl is not None
        if calls or is_compiled(module):
            inside = tuple(p for p in module.parameters() if p in trainable)
            if inside:
                units.append(Unit(module, inside, wraps_call=calls))
            visited[module] = bool(inside)
            return visited[module]
        own = tuple(p for p in module._parameters.values() if p is not None and p in trainable)
        below = [visit(child) for child in module._modules.values() if child is not None]
        visited[module] = bool(own) or any(below)
        if visited[module] and type(module).forward is not nn.Module.forward:
            units.append(Unit(module, own))
        return visited[module]

    visit(model)
    return units


def is_compiled(module: nn.Module) -> bool:
    """Return whether a module is the result of `torch.compile` or of TorchScript."""
    if isinstance(module, torch.jit.ScriptModule):
        return True
    # A compiled module exists only if torch's compiler has been imported, which takes seconds.
    compiler = sys.modules.get("torch._dynamo.eval_frame")
    return compiler is not None and isinstance(module, compiler.OptimizedModule)


def tied_among(units: Sequence[Unit]) -> dict[nn.Parameter, int]:
    """Return the parameters that belong to several units, with the number of these units."""
    uses = Counter(p for unit in units for p in unit.parameters)
    return {p: n for p, n in uses.items() if n > 1}
