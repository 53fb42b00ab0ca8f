"""Dropout off means p = 0, not eval(), which would silently turn gradient checkpointing off."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

# Attributes in which transformers' modules keep a dropout probability besides nn.Dropout.p.
NAMES = ("dropout", "attention_dropout", "activation_dropout", "dropout_prob", "layerdrop")


class Dropout:
    """Every dropout probability of a model, found once.

    Args:
        model: the modules to look through.
    """

    def __init__(self, model: nn.Module) -> None:
        self.places: list[tuple[nn.Module, str, float]] = []
        for module in model.modules():
            names = ("p",) if isinstance(module, nn.Dropout) else NAMES
            for name in names:
                value = vars(module).get(name)
                if isinstance(value, float) and value > 0:
                    self.places.append((module, name, value))

    @contextmanager
    def off(self) -> Iterator[None]:
        """Inside, no module drops anything; the modes of the modules stay as they are."""
        for module, name, _ in self.places:
            setattr(module, name, 0.0)
        try:
            yield
        finally:
            for module, name, value in self.places:
                setattr(module, name, value)
