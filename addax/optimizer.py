"""The contract every method keeps: a torch optimizer built from a model, stepped by loss closures."""

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
    """What one step saw. Scalars stay on the device: reading one with `float` waits for it.

    Attributes:
        loss: the first-order batch's loss where there is one, else the mean of the perturbed losses.
        projected_grad: g0, or None where no zeroth-order estimate was made.
        forwards: evaluations of a closure.
        backwards: backward passes; 0 where a step was skipped without one.
        skipped: bool scalar: a loss or projected_grad was not finite and nothing moved.
        realized_fraction: the part of the intended step that 16-bit parameters took, on the steps
            that measure it (every `MEASURE_EVERY`-th); None elsewhere and where every learning rate is 0,
            NaN where no step was intended.
    """

    loss: Tensor
    projected_grad: Tensor | None
    forwards: int
    backwards: int
    skipped: Tensor
    realized_fraction: Tensor | None = None


class Method(torch.optim.Optimizer):
    """Base of the methods: indices of parameters, step seeds, counters and their state.

    Args:
        model: its trainable parameters are optimised; frozen ones are left alone.
        lr: learning rate of every parameter group.
        seed: defines all noise of all steps: directions and stochastic rounding.
        rounding: how 16-bit parameters are written: "stochastic" or "nearest".
        params: parameter groups in torch's form, which hold all of the model's trainable parameters
            between them; one group where None.
        process_group: ranks that each evaluate their own part of every batch, all of one size: losses,
            projected_grad and gradients are averaged over them (`addax.distributed`). All ranks step alike,
            with losses that reach the same parameters. None: this process alone.

    Raises:
        ValueError: no trainable parameter; one that is not a plain contiguous floating-point tensor with
            memory of its own (quantised, or offloaded to the meta device); one that no group holds; a
            learning rate that is negative or not finite; ranks that differ in their parameters or seed.
    """

    #: The name in tables and figures.
    label: ClassVar[str]
    #: Closures that the method takes, in evaluation order: "zo_loss", "fo_loss", "full_loss".
    closures: ClassVar[tuple[str, ...]]
    #: How often a 16-bit step measures how much of it arrived.
    MEASURE_EVERY: ClassVar[int] = 16
    #: Attributes beyond torch's own state that the next step depends on.
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
        """Initialises the torch optimizer underneath; a method that has another one overrides this."""
        torch.optim.Optimizer.__init__(self, groups, {"lr": lr})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Refused once the method is built, with `ValueError`: its groups hold all trainable parameters."""
        if hasattr(self, "names"):
            raise ValueError(
                f"{type(self).__name__} already holds all parameters that were trainable when it was built: "
                "build it anew to train others"
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
        """(parameter, its index, its group's learning rate now)."""
        return [(p, self.indices[p], g["lr"]) for g in self.param_groups for p in g["params"]]

    def step_seed(self, *stream: int) -> int:
        """Seed of this step's direction; `stream` tells several directions of one step apart."""
        return noise.hash_seed(self.seed, self.steps, *stream)

    def mean_over_ranks(self, value: Tensor) -> Tensor:
        """The mean of a tensor over the ranks, in at least float32; itself without a process group."""
        return mean_over_ranks(value, self.process_group)

    def validate_closures(self, **given: Loss | None) -> None:
        """`ValueError` unless a step can be taken: called first, before anything is evaluated.

        Names the closures this method wants unless at least one is given and every one given is one of
        them, or the parameter that was added, replaced, removed or moved since the method was built.
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
        """theta <- theta - lr ( sum_k w_k g0_k z_k + fo_weight grad loss ), or nothing if not finite.

        Args:
            estimates: pairs (w_k, estimate).
            loss: the first-order loss, not yet back-propagated.
            reported_loss: the loss to report, the same on all ranks; the first-order loss's mean where None.
            fo_weight: weight of the gradient.
            in_place: update within the backward pass.
            forwards: closure evaluations so far in this step, to report.
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
        # On a CPU looking costs nothing and saves the backward; elsewhere the mask travels with the update.
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
        """Counts a finished step, and it as skipped where the bool scalar says so, on the device."""
        if self.skipped_steps is None:
            self.skipped_steps = torch.zeros((), dtype=torch.int64, device=skipped.device)
            self.consecutive_skips = torch.zeros((), dtype=torch.int64, device=skipped.device)
        # A state loaded from a file may lie on another device.
        self.skipped_steps = self.skipped_steps.to(skipped.device) + skipped
        self.consecutive_skips = (self.consecutive_skips.to(skipped.device) + 1) * skipped
        self.steps += 1
        # An autocast around several steps would go on with weights that it cast before this one.
        torch.clear_autocast_cache()

    def state_dict(self) -> dict[str, Any]:
        """Torch's optimizer state, and under "method" all else that the next step depends on.

        Tensors and plain values only, so that `torch.load(weights_only=True)` reads it.
        """
        held = {"class": type(self).__name__} | {name: getattr(self, name) for name in self.state_attributes}
        held["loss_scale"] = self.loss_scale.state_dict()
        return super().state_dict() | {"method": held}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continues from a state of the same class; `ValueError`, and no change, if it is another's."""
        # Copied, which torch does not do: the next step must not write into what the caller holds.
        state_dict = copy.deepcopy(state_dict)
        held = state_dict.get("method", {})
        name, saved = type(self).__name__, held.pop("class", "another optimizer")
        if saved != name or set(held) != set(self.state_attributes):
            raise ValueError(f"not a state of {name}: it was saved by {saved} and holds {sorted(held)}")
        held = self.restored(held)
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "method"})
        self.loss_scale.load_state_dict(held.pop("loss_scale"))
        for name, value in held.items():
            setattr(self, name, value)

    def restored(self, held: dict[str, Any]) -> dict[str, Any]:
        """Attributes from what a state holds of them; `ValueError` if they do not fit the model."""
        return held
