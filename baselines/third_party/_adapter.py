"""Adapter: a torch optimizer of another package with the interface of the other methods.

    theta <- theta - lr d(g),   g = grad L(theta),   d as the optimizer defines it

The adapter evaluates the loss, checks the gradients, and calls the optimizer's `step`. The optimizer rounds
16-bit parameters itself, which is to nearest in torch. A step whose loss or gradient is not finite is skipped
and counted. An optimizer of another package cannot mask a step on the device, so each step waits once for the
device. In float16, the loss is scaled, and the gradients are divided by the scale in float16: those below
6e-8 become zero.
Cost: 1 forward, 1 backward; 0 draws of z; the passes over theta of the optimizer, after the backward.
Memory: activations, gradients of theta's size, and the optimizer's state and temporaries.
"""

import inspect
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import torch
from torch import nn
from torch.distributed import ProcessGroup

from addax.backward import UNREACHED, all_finite, differentiable, refuse_gradients
from addax.groups import check_groups, check_setting
from addax.loss_precision import scalar
from addax.optimizer import Loss, Method
from addax.step_stats import StepStats, masked_among
from baselines.third_party._inner import InnerOptimizers

# Keys of a group that are not settings: torch and its schedulers write them.
NOTES = ("params", "param_names", "name", "initial_lr", "max_lr", "min_lr", "max_momentum", "base_momentum")


class Adapter(Method, InnerOptimizers):
    """Base class of the optimizers of other packages. A subclass defines `build`.

    Args:
        model: the model whose trainable parameters are optimized.
        lr: learning rate.
        params: parameter groups; see `Method`.
        process_group: ranks that share the work; see `Method`.
        settings: the other arguments of the optimizer's constructor.

    Raises:
        ValueError: if the optimizer's constructor rejects an argument, or for a reason listed under `Method`.
    """

    #: The optimizer rounds to nearest.
    noise = None
    closures = ("fo_loss",)
    #: The class that defines the update, as "module:Class", and the package that provides it.
    optimizer: ClassVar[str]

    def __init__(
        self,
        model: nn.Module,
        lr: float,
        *,
        params: Iterable[Any] | None = None,
        process_group: ProcessGroup | None = None,
        **settings: Any,
    ) -> None:
        self.settings = settings
        super().__init__(model, lr, params=params, process_group=process_group)

    def build(self, groups: list[dict[str, Any]], lr: float) -> list[torch.optim.Optimizer]:
        """Return the inner optimizers.

        Args:
            groups: parameter groups, which together have all parameters.
            lr: learning rate of the groups that have none.
        """
        raise NotImplementedError

    def init_torch(self, groups: list[dict[str, Any]], lr: float) -> None:
        """Build the inner optimizers, and check that they know every setting of a group."""
        self.init_inner(self.build(groups, lr))
        for k, group in enumerate(groups):
            for key in group:
                if key not in NOTES and all(key not in optimizer.defaults for optimizer in self.inner):
                    raise ValueError(f"{type(self).__name__} would ignore {key!r} of parameter group {k}")

    def check_groups(self, indices: dict[nn.Parameter, int], names: dict[nn.Parameter, str]) -> None:
        """Raise `ValueError` unless the groups have all parameters and valid learning rates."""
        check_groups(self.param_groups, indices, names)
        for k, group in enumerate(self.param_groups):
            check_setting(group["lr"], "lr", f"lr of parameter group {k}")

    def step(self, *, zo_loss: Loss | None = None, fo_loss: Loss | None = None) -> StepStats:
        """Take one step.

        Args:
            zo_loss: not accepted.
            fo_loss: returns the scalar mean loss of the batch. It is called once.

        Returns:
            The statistics of the step.

        Raises:
            ValueError: if `fo_loss` is missing, if `zo_loss` is given, if the loss is not a scalar with a
                gradient, or if a parameter already has a gradient.
        """
        refuse_gradients(self.names)
        with torch.enable_grad():
            loss = differentiable(fo_loss())
        reported_loss = self.mean_over_ranks(scalar(loss.detach(), "fo_loss"))
        half = any(p.dtype == torch.float16 for p in self.indices)
        try:
            scale = self.loss_scale.begin(loss.device) if half else None
            (loss if scale is None else loss.float() * scale).backward()
            reached = [p for p in self.indices if p.grad is not None]
            if not reached:
                raise ValueError(UNREACHED)
            if self.process_group is not None:
                for p in reached:
                    p.grad = self.mean_over_ranks(p.grad).to(p.dtype)
            finite = [all_finite(p.grad) for p in reached]
            if scale is not None:
                self.loss_scale.end(finite)
                for p in reached:
                    p.grad.div_(scale.to(p.device))
            masked = masked_among(finite, reported_loss.device)
            is_finite = torch.isfinite(reported_loss) & (masked == 0)
            # Tensors without values are traced to predict memory.
            if is_finite.is_meta or bool(is_finite):
                with torch.no_grad():
                    for optimizer in self.inner:
                        optimizer.step()
        finally:
            self.zero_grad()
        self.count(~is_finite, masked)
        return StepStats(reported_loss, None, 1, 1, skipped=~is_finite, masked_gradients=masked)

    def publish_state(self) -> None:
        """Collect the state of the inner optimizers, which never see the entry of this class."""
        self.share()
        first = self.param_groups[0]["params"][0]
        self.state[first] = {**self.state.get(first, {}), type(self).__name__: self.method_state()}

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the inner optimizers, with the state of the method at the first parameter."""
        found = super().state_dict()
        first = dict(found["state"].get(0, {}))
        return found | {"state": {**found["state"], 0: first | {type(self).__name__: self.method_state()}}}

    def fits(self, value: torch.Tensor, p: nn.Parameter) -> bool:
        """Accept every shape: only the optimizer knows the shapes of its state."""
        return True


def adapter_of(cls: type[torch.optim.Optimizer], name: str, defaults: Mapping[str, Any]) -> type[Adapter]:
    """Return the method that adapts a torch optimizer with one constructor for all parameters.

    Args:
        cls: the optimizer.
        name: its import path, "module:Class", which is the label of the method.
        defaults: the constructor's arguments after the parameters, with their defaults
            (`inspect.Parameter.empty` if an argument has none). Lists become tuples where the default is one.
    """

    def build(self: Adapter, groups: list[dict[str, Any]], lr: float) -> list[torch.optim.Optimizer]:
        settings = {
            key: tuple(value) if isinstance(defaults[key], tuple) else value
            for key, value in self.settings.items()
        }
        return [cls(groups, lr=lr, **settings)]

    def arguments(owner: type[Adapter]) -> dict[str, Any]:
        return {"lr": inspect.Parameter.empty, **defaults, "params": None, "process_group": None}

    namespace = {
        "__doc__": f"{name} as a method.",
        "__module__": __name__,
        "label": name,
        "optimizer": name,
        "build": build,
        "arguments": classmethod(arguments),
    }
    return type(Adapter)(cls.__name__, (Adapter,), namespace)
