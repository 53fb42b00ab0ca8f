"""Tracked parameters: the indices, groups, devices, and dtypes of the parameters that a method optimizes."""

from typing import Any, ClassVar

import torch
from torch import nn
from torch.distributed import ProcessGroup

from addax.attention import warn_of_cudnn
from addax.distributed import check_ranks
from addax.groups import as_groups, check_groups, check_settings, learning_rate
from addax.loss_scale import LossScale
from addax.small_tensors import KeptNoise
from addax.state import StatefulMethod
from addax.validation import check_unchanged, trainable


class TrackedParameters(StatefulMethod, torch.optim.Optimizer):
    """The part of a method that knows its parameters and notices when the model changes.

    Attributes:
        model: the model whose trainable parameters are optimized.
        indices: every trainable parameter and its index, which defines its noise.
        names: their names when the method last looked.
        placements: their devices and dtypes when the method last looked.
    """

    #: Settings that a parameter group can have.
    group_settings: ClassVar[tuple[str, ...]] = ("lr",)
    #: The noise of the current step; None if the method draws no directions.
    draws: KeptNoise | None = None
    model: nn.Module
    indices: dict[nn.Parameter, int]
    loss_scale: LossScale
    process_group: ProcessGroup | None

    def init_torch(self, groups: list[dict[str, Any]], lr: float) -> None:
        """Initialize the torch optimizer. Override this method to build on a different torch optimizer."""
        torch.optim.Optimizer.__init__(self, groups, {"lr": lr})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters that were unfrozen after the method was built, as a group with its own settings.

        Raises:
            ValueError: if the group is not exactly the parameters that became trainable, or if it has a
                setting that a step would ignore. The method is unchanged in this case.
        """
        (group,) = as_groups([param_group])
        super().add_param_group(group)
        if not hasattr(self, "model"):
            # The constructor checks all groups together.
            return
        names = {p: name for name, p in self.model.named_parameters()}
        indices = trainable(self.model)
        try:
            self.check_groups(indices, names)
        except ValueError:
            self.param_groups.pop()
            raise
        added = [p for p in indices if p not in self.indices]
        # Other objects of the method share this dict.
        self.indices.clear()
        self.indices.update(indices)
        self.watch(names)
        if self.state:
            self.allocate_state(added)

    def watch(self, names: dict[nn.Parameter, str]) -> None:
        """Record what the next step compares the trainable parameters with, and compare the ranks."""
        self.forget_noise()
        self.names = {p: names[p] for p in self.indices}
        self.placements = {p: (p.device, p.dtype) for p in self.indices}
        if "fo_loss" in self.closures:
            warn_of_cudnn(self.model, {p.device for p in self.indices})
            if any(p.dtype == torch.float16 for p in self.indices):
                self.loss_scale.begin(next(iter(self.indices)).device)
        if self.process_group is not None:
            check_ranks(self.model, self.indices, self.seed, self.process_group, self.noise)

    def follow(self) -> None:
        """Accept that the model has moved to other devices, and move the state to its parameters.

        `model.to(device)` keeps the parameter objects, so a method that was built before stays valid.

        Raises:
            ValueError: if a parameter was converted to another dtype, or was added, replaced, or removed.
        """
        placements = {p: (p.device, dtype) for p, (_, dtype) in self.placements.items()}
        check_unchanged(self.model, self.names, placements)
        if placements != self.placements:
            self.forget_noise()
            if "fo_loss" in self.closures:
                warn_of_cudnn(self.model, {p.device for p in self.indices})
            self.placements = placements
            self.load_state_dict(self.state_dict())

    def check_groups(self, indices: dict[nn.Parameter, int], names: dict[nn.Parameter, str]) -> None:
        """Raise `ValueError` unless a step would honor all groups.

        Args:
            indices: the trainable parameters.
            names: names of the model's parameters, for errors.
        """
        check_groups(self.param_groups, indices, names)
        fixed = {key: value for key, value in self.defaults.items() if key not in self.group_settings}
        check_settings(self.param_groups, type(self).__name__, self.group_settings, self.arguments(), fixed)

    def learning_rates(self) -> list[tuple[nn.Parameter, int, float]]:
        """Return (parameter, parameter index, current learning rate of its group) for every parameter."""
        rates = [(learning_rate(group), group) for group in self.param_groups]
        return [(p, self.indices[p], lr) for lr, group in rates for p in group["params"]]

    def forget_noise(self) -> None:
        """Free the noise of the current step."""
        draws = vars(self).get("draws")
        if draws is not None:
            draws.clear()
