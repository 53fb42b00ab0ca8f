"""A repeatable training step: a model, a method built from it, and the closures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from addax.optimizer import Loss, Method


@dataclass
class TrainingStep:
    """A model, a method built from it, and the closures for its steps.

    Attributes:
        model: the model.
        optimizer: the method.
        closures: the closures by name ("zo_loss", "fo_loss", "full_loss").
        layers: the repeated modules of the model, in order. Each one is a separate phase in a trace.
    """

    model: nn.Module
    optimizer: Method
    closures: Mapping[str, Loss]
    layers: Sequence[nn.Module] = ()

    def step(self) -> None:
        """Take one step, with the closures that this step needs."""
        needed = [name for name in self.optimizer.next_closures() if name in self.closures]
        self.optimizer.step(**{name: self.closures[name] for name in needed})

    def step_every_kind(self) -> None:
        """Take steps until every kind of step has run."""
        seen = set()
        while len(seen) < self.optimizer.step_kinds:
            seen.add(self.optimizer.next_closures())
            self.step()

    def state(self) -> list[Tensor]:
        """Return the tensors that the optimizer keeps between steps."""
        return [leaf for leaf in tree_leaves(self.optimizer.state_dict()) if isinstance(leaf, Tensor)]
