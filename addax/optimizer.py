"""The contract of every method: a torch optimizer built from a model and stepped with loss closures."""

import copy
import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributed import ProcessGroup

from addax import noise, released
from addax.backward import apply_step
from addax.distributed import check_ranks, mean_over_ranks
from addax.loss_scale import LossScale
from addax.rounding import HALF, ROUNDINGS, RealizedFraction
from addax.spsa import Estimate, scalar
from addax.validation import check_groups, check_unchanged, one_of, trainable, whole, within

Loss = Callable[[], Tensor]


@dataclass(frozen=True)
class StepStats:
    """Statistics of one step. Scalars stay on the device: reading one with `float` waits for it.

    Attributes:
        loss: the first-order loss if there is one, otherwise the mean of the perturbed losses.
        projected_grad: g0, or None without a zeroth-order estimate.
        forwards: number of closure evaluations.
        backwards: number of backward passes; 0 if the step was skipped before one.
        skipped: bool scalar: a loss or projected_grad was not finite, so nothing moved.
        realized_fraction: fraction of the intended step that 16-bit parameters took. Measured every
            `MEASURE_EVERY`-th step; None at other steps and if every learning rate is 0; NaN if the intended
            step is zero.
    """

    loss: Tensor
    projected_grad: Tensor | None
    forwards: int
    backwards: int
    skipped: Tensor
    realized_fraction: Tensor | None = None


class Method(torch.optim.Optimizer):
    """Base class of the methods: parameter indices, step seeds, counters, and their state.

    Args:
        model: its trainable parameters are optimized; frozen ones are not touched.
        lr: learning rate of every parameter group.
        seed: defines all noise of all steps: directions and stochastic rounding.
        rounding: how 16-bit parameters are written: "stochastic" or "nearest".
        params: parameter groups in torch's form, which together contain all trainable parameters of the
            model; one group if None.
        process_group: ranks that evaluate equal parts of every batch. Losses, projected_grad, and gradients
            are averaged over them (`addax.distributed`). All ranks must take the same steps, with losses that
            reach the same parameters. None: this process only.

    Raises:
        ValueError: there is no trainable parameter; a parameter is not a plain contiguous floating-point
            tensor with memory (it is quantized, or offloaded to the meta device); a parameter is in no group;
            a learning rate is negative or not finite; or ranks differ in their parameters or seed.
    """

    #: Name in tables and figures.
    label: ClassVar[str]
    #: Closures that the method takes, in evaluation order: "zo_loss", "fo_loss", "full_loss".
    closures: ClassVar[tuple[str, ...]]
    #: A 16-bit step measures its realized fraction every so many steps.
    MEASURE_EVERY: ClassVar[int] = 16
    #: Attributes beyond torch's state that the next step depends on.
    state_attributes: ClassVar[tuple[str, ...]] = (
        "steps",
        "seed",
        "skipped_steps",
        "consecutive_skips",
        "loss_scale",
    )

    def __init__(
        self,
        model: nn.Module,
        lr: float,
        *,
        seed: int = 0,
        rounding: str = "stochastic",
        params: Iterable[dict[str, Any]] | None = None,
        process_group: ProcessGroup | None = None,
    ) -> None:
        self.indices = trainable(model)
        within(lr, "lr", low=0)
        one_of(rounding, "rounding", ROUNDINGS)
        groups = [{"params": list(self.indices)}] if params is None else [dict(g) for g in params]
        self.init_torch(groups, lr)
        names = {p: name for name, p in model.named_parameters()}
        check_groups(self.param_groups, self.indices, names)
        self.names = {p: names[p] for p in self.indices}
        self.model = model
        self.placements = {p: (p.device, p.dtype) for p in self.indices}
        self.seed = whole(seed, "seed")
        self.rounding = rounding
        self.steps = 0
        self.skipped_steps: Tensor | None = None
        self.consecutive_skips: Tensor | None = None
        self.loss_scale = LossScale()
        self.process_group = process_group
        if process_group is not None:
            check_ranks(model, self.indices, self.seed, process_group)

    def init_torch(self, groups: list[dict[str, Any]], lr: float) -> None:
        """Initialize the underlying torch optimizer; override it to build on another one."""
        torch.optim.Optimizer.__init__(self, groups, {"lr": lr})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Raise `ValueError` once the method is built: its groups contain all trainable parameters."""
        if hasattr(self, "names"):
            raise ValueError(
                f"{type(self).__name__} already holds all parameters that were trainable when it was built: "
                "build a new one to train others"
            )
        super().add_param_group(param_group)

    @classmethod
    def arguments(cls) -> dict[str, Any]:
        """Return the constructor's arguments after `model` with their defaults.

        An argument that has to be given has the default `inspect.Parameter.empty`.
        """
        listed = list(inspect.signature(cls).parameters.values())[1:]
        return {p.name: p.default for p in listed if p.kind is not p.VAR_KEYWORD}

    def next_closures(self) -> tuple[str, ...]:
        """Return the names of the closures that the next step needs."""
        return self.closures

    @property
    def step_kinds(self) -> int:
        """Number of different `next_closures()` that the method cycles through."""
        return 1

    def learning_rates(self) -> list[tuple[nn.Parameter, int, float]]:
        """Return (parameter, its index, its group's current learning rate) for every parameter."""
        return [(p, self.indices[p], g["lr"]) for g in self.param_groups for p in g["params"]]

    def step_seed(self, *stream: int) -> int:
        """Return the seed of this step's direction; `stream` distinguishes several directions of one step."""
        return noise.hash_seed(self.seed, self.steps, *stream)

    def mean_over_ranks(self, value: Tensor) -> Tensor:
        """Return a tensor's mean over the ranks, in at least float32; the tensor without a process group."""
        return mean_over_ranks(value, self.process_group)

    def validate_closures(self, **given: Loss | None) -> None:
        """Raise `ValueError` if a step cannot be taken; call it before anything is evaluated.

        The error names the closures of the method if none or a wrong one is given, or the parameter that was
        added, replaced, removed, or moved since the method was built.
        """
        wants = " and ".join(self.closures)
        for name, closure in given.items():
            if closure is not None and name not in self.closures:
                raise ValueError(f"{type(self).__name__} cannot use {name}: it wants {wants}")
        if all(closure is None for closure in given.values()):
            raise ValueError(f"{type(self).__name__}.step got no loss closure: it wants {wants}")
        check_unchanged(self.model, self.names, self.placements)

    def update(
        self,
        *,
        estimates: Sequence[tuple[float, Estimate]] = (),
        loss: Tensor | None = None,
        reported_loss: Tensor | None = None,
        fo_weight: float = 1.0,
        in_place: bool = True,
        forwards: int,
        arithmetic: str = "exact",
    ) -> StepStats:
        """Apply theta <- theta - lr ( sum_k w_k g0_k z_k + fo_weight grad loss ) if everything is finite.

        Args:
            estimates: pairs (w_k, estimate).
            loss: the first-order loss, not yet back-propagated.
            reported_loss: the loss to report, equal on all ranks; the first-order loss's mean if None.
            fo_weight: weight of the gradient.
            in_place: update within the backward pass.
            forwards: number of closure evaluations in this step, to report.
            arithmetic: "exact" or "released".
        """
        if reported_loss is None:
            reported_loss = self.mean_over_ranks(scalar(loss.detach(), "fo_loss"))
        is_finite = torch.isfinite(reported_loss)
        for _, estimate in estimates:
            is_finite = is_finite & torch.isfinite(estimate.projected_grad).to(is_finite.device)
        realized = None
        if self.steps % self.MEASURE_EVERY == 0 and any(p.dtype in HALF for p in self.indices):
            realized = RealizedFraction()
        on_cpu = noise.on_cpu(is_finite.device)
        # On a CPU the check is free and saves the backward pass; elsewhere the update takes the mask along.
        moves = not on_cpu or bool(is_finite)
        if moves:
            options = {"in_place": in_place, "scale": self.loss_scale, "rounding": self.rounding}
            (released.apply_step if arithmetic == "released" else apply_step)(
                self.learning_rates(),
                self.step_seed(),
                names=self.names,
                loss=loss,
                fo_weight=fo_weight,
                directions=[(w, e.projected_grad, e.step_seed) for w, e in estimates],
                is_finite=None if on_cpu else is_finite,
                realized=realized,
                group=self.process_group,
                **({} if arithmetic == "released" else options),
            )
        self.count(~is_finite)
        return StepStats(
            loss=reported_loss,
            projected_grad=estimates[0][1].projected_grad if estimates else None,
            forwards=forwards,
            backwards=int(loss is not None and moves),
            skipped=~is_finite,
            realized_fraction=None if realized is None else realized.value(),
        )

    def count(self, skipped: Tensor) -> None:
        """Count a finished step, on the device; `skipped` is a bool scalar."""
        if self.skipped_steps is None:
            self.skipped_steps = torch.zeros((), dtype=torch.int64, device=skipped.device)
            self.consecutive_skips = torch.zeros((), dtype=torch.int64, device=skipped.device)
        # A state loaded from a file may be on another device.
        self.skipped_steps = self.skipped_steps.to(skipped.device) + skipped
        self.consecutive_skips = (self.consecutive_skips.to(skipped.device) + 1) * skipped
        self.steps += 1
        # An autocast region around several steps would otherwise reuse weights cast before this step.
        torch.clear_autocast_cache()

    def state_dict(self) -> dict[str, Any]:
        """Return torch's optimizer state and, under "method", everything else that the next step depends on.

        It contains only tensors and plain values, so `torch.load(weights_only=True)` reads it.
        """
        own = {"class": type(self).__name__} | {name: getattr(self, name) for name in self.state_attributes}
        own["loss_scale"] = self.loss_scale.state_dict()
        return super().state_dict() | {"method": own}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a state of the same class; `ValueError`, without any change, for another class."""
        # torch does not copy it, and the next step must not write into the caller's state.
        state_dict = copy.deepcopy(state_dict)
        own = state_dict.get("method", {})
        name, saved = type(self).__name__, own.pop("class", "another optimizer")
        if saved != name or set(own) != set(self.state_attributes):
            raise ValueError(f"not a state of {name}: it was saved by {saved} and holds {sorted(own)}")
        own = self.restored(own)
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "method"})
        self.loss_scale.load_state_dict(own.pop("loss_scale"))
        for name, value in own.items():
            setattr(self, name, value)

    def restored(self, own: dict[str, Any]) -> dict[str, Any]:
        """Return attributes restored from a saved state; `ValueError` if they do not fit the model."""
        return own
