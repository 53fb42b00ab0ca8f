"""A switch for dropout that sets p = 0; calling eval() would silently disable gradient checkpointing."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from transformers import PreTrainedConfig


class Dropout:
    """All nonzero dropout probabilities of a model, collected once.

    A probability is the `p` of a dropout layer, or a float in (0, 1] whose name contains "drop", in a module
    or its configuration. Modules call `F.dropout` with such attributes, under many names.

    Args:
        model: the model whose modules are searched.
    """

    def __init__(self, model: nn.Module) -> None:
        self.probabilities: list[tuple[object, str, float]] = []
        modules = list(model.modules())
        configs = {
            id(m.config): m.config for m in modules if isinstance(vars(m).get("config"), PreTrainedConfig)
        }
        for owner in (*modules, *configs.values()):
            for name, value in vars(owner).items():
                is_layer = isinstance(owner, nn.modules.dropout._DropoutNd)
                named = name == "p" if is_layer else "drop" in name
                if named and isinstance(value, float) and 0 < value <= 1:
                    self.probabilities.append((owner, name, value))

    @contextmanager
    def off(self) -> Iterator[None]:
        """Set all probabilities to 0 within the context; training and evaluation modes do not change."""
        for owner, name, _ in self.probabilities:
            setattr(owner, name, 0.0)
        try:
            yield
        finally:
            for owner, name, value in self.probabilities:
                setattr(owner, name, value)
