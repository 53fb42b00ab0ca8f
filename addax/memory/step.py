"""A training step that can be repeated: a model, a method built from it, and closures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from addax.optimizer import Loss, Method


@dataclass
class TrainingStep:
    """A model, a method built from it, and the closures of its steps.

    Attributes:
        model: the model.
        optimizer: the method.
        closures: closure name ("zo_loss", "fo_loss", "full_loss") -> closure.
        layers: the model's repeated modules, in order; each is a phase of its own in a trace.
    """

    model: nn.Module
    optimizer: Method
    closures: Mapping[str, Loss]
    layers: Sequence[nn.Module] = ()

    def step(self) -> None:
        """Take one step with the closures that it needs."""
        needed = [name for name in self.optimizer.next_closures() if name in self.closures]
        self.optimizer.step(**{name: self.closures[name] for name in needed})

    def step_every_kind(self) -> None:
        """Take steps until every kind of step has run."""
        seen = set()
        while len(seen) < self.optimizer.step_kinds:
            seen.add(self.optimizer.next_closures())
            self.step()

    def state(self) -> list[Tensor]:
        """Return the tensors that the optimizer keeps between its steps."""
        return [leaf for leaf in tree_leaves(self.optimizer.state_dict()) if isinstance(leaf, Tensor)]
