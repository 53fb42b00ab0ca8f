"""The modules of a model, found in less time than torch's traversal with names takes."""

from torch import nn


def modules_of(model: nn.Module) -> list[nn.Module]:
    """Return all modules of a model once, parents before their children."""
    found = {id(model): model}
    todo = [model]
    while todo:
        for child in todo.pop()._modules.values():
            if child is not None and id(child) not in found:
                found[id(child)] = child
                todo.append(child)
    return list(found.values())
