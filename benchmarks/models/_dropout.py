"""A switch for dropout that sets p = 0; calling eval() would silently disable gradient checkpointing."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

# Attributes of transformers' modules that are dropout probabilities, in addition to nn.Dropout.p.
NAMES = ("dropout", "attention_dropout", "activation_dropout", "dropout_prob", "layerdrop")


class Dropout:
    """All nonzero dropout probabilities of a model, collected once.

    Args:
        model: the model whose modules are searched.
    """

    def __init__(self, model: nn.Module) -> None:
        self.probabilities: list[tuple[nn.Module, str, float]] = []
        for module in model.modules():
            names = ("p",) if isinstance(module, nn.Dropout) else NAMES
            for name in names:
                value = vars(module).get(name)
                if isinstance(value, float) and value > 0:
                    self.probabilities.append((module, name, value))

    @contextmanager
    def off(self) -> Iterator[None]:
        """Set all probabilities to 0 within the context; training and evaluation modes do not change."""
        for module, name, _ in self.probabilities:
            setattr(module, name, 0.0)
        try:
            yield
        finally:
            for module, name, value in self.probabilities:
                setattr(module, name, value)
