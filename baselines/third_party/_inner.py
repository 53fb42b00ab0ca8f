"""A torch optimizer that consists of other torch optimizers, each with its own parameter groups.

The groups are those of the inner optimizers, so that a learning-rate schedule and code that changes a group
reach them. Their state stays with them: it is saved and loaded by their own `state_dict` and
`load_state_dict`, which know its format.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor


class InnerOptimizers(torch.optim.Optimizer):
    """A torch optimizer that consists of others.

    Attributes:
        inner: the optimizers. Together they have all parameters.
    """

    def init_inner(self, inner: Sequence[torch.optim.Optimizer]) -> None:
        """Initialize torch's optimizer with the groups of the inner optimizers."""
        groups = [group for optimizer in inner for group in optimizer.param_groups]
        torch.optim.Optimizer.__init__(self, [dict(group) for group in groups], dict(inner[0].defaults))
        self.inner = list(inner)
        self.share()

    def share(self) -> None:
        """Refer to the groups and to the state of the inner optimizers."""
        self.param_groups = [group for optimizer in self.inner for group in optimizer.param_groups]
        self.state = defaultdict(dict)
        for optimizer in self.inner:
            self.state.update(optimizer.state)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group while the optimizer is built.

        Raises:
            ValueError: the optimizer is already built. Its inner optimizers would not know the group.
        """
        if hasattr(self, "inner"):
            raise ValueError(
                f"{type(self).__name__} takes all of its parameters when it is built: unfreeze them first"
            )
        super().add_param_group(param_group)

    def state_dict(self) -> dict[str, Any]:
        """Return the states of the inner optimizers in torch's format, numbered as one optimizer's."""
        found: dict[str, Any] = {"state": {}, "param_groups": []}
        for optimizer, first in self._numbered():
            own = optimizer.state_dict()
            found["state"] |= {_shifted(key, first): entry for key, entry in own["state"].items()}
            found["param_groups"] += [
                group | {"params": [first + number for number in group["params"]]}
                for group in own["param_groups"]
            ]
        return found

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Give each inner optimizer its part of a state. Tensors keep the dtype in which they were saved."""
        groups = list(state_dict["param_groups"])
        for optimizer, first in self._numbered():
            count, numbers = len(optimizer.param_groups), range(first, first + _size(optimizer))
            own, groups = groups[:count], groups[count:]
            state = {k: v for k, v in state_dict["state"].items() if not isinstance(k, int) or k in numbers}
            optimizer.load_state_dict(
                {
                    "state": {_shifted(key, -first): dict(entry) for key, entry in state.items()},
                    "param_groups": [
                        group | {"params": [number - first for number in group["params"]]} for group in own
                    ],
                }
            )
            _restore_dtypes(optimizer, {_shifted(key, -first): entry for key, entry in state.items()})
        self.share()

    def _numbered(self) -> Iterator[tuple[torch.optim.Optimizer, int]]:
        """Yield each inner optimizer and the number of its first parameter."""
        first = 0
        for optimizer in self.inner:
            yield optimizer, first
            first += _size(optimizer)


def _size(optimizer: torch.optim.Optimizer) -> int:
    return sum(len(group["params"]) for group in optimizer.param_groups)


def _shifted(key: Any, by: int) -> Any:
    return key + by if isinstance(key, int) else key


def _restore_dtypes(optimizer: torch.optim.Optimizer, saved: dict[Any, dict[str, Any]]) -> None:
    """Undo torch's conversion of the loaded state to the dtype of the parameters."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for number, entry in saved.items():
        own = optimizer.state[parameters[number]] if isinstance(number, int) else {}
        for key, value in entry.items():
            loaded = own.get(key)
            if isinstance(value, Tensor) and isinstance(loaded, Tensor) and value.dtype != loaded.dtype:
                own[key] = value.to(loaded.device, copy=True)
