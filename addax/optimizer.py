"""The contract of every method: a torch optimizer that is built from a model and takes loss closures."""

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributed import ProcessGroup

from addax import noise, released, seeds
from addax.backward import apply_step
from addax.closures import checked_step
from addax.distributed import mean_over_ranks
from addax.groups import as_groups
from addax.loss_precision import scalar
from addax.loss_scale import LossScale
from addax.rounding import HALF, ROUNDINGS, RealizedFraction
from addax.spsa import Estimate
from addax.step_stats import StepStats, masked_among
from addax.tracked_parameters import TrackedParameters
from addax.update import Step
from addax.validation import CheckedArguments, one_of, trainable, whole, within
from addax.wrappers import refuse_wrappers

Loss = Callable[[], Tensor]


class Method(CheckedArguments, TrackedParameters):
    """Base class of all methods. It manages step seeds, counters, and their state.

    A subclass defines `step` with one keyword argument per loss. The base class checks every call first, so
    that the subclass's `step` gets valid closures, and accepts a loss by position if the method takes one.
    A learning rate may be a tensor with one element, which each step reads from its device.

    Args:
        model: the model whose trainable parameters are optimized. Frozen parameters are not touched.
        lr: learning rate of every parameter group.
        seed: defines the noise of every step (directions and stochastic rounding).
        rounding: how 16-bit parameters are written: "stochastic" or "nearest".
        params: parameters, pairs (name, parameter), or parameter groups in torch's format, which together are
            all trainable parameters of the model. None puts all of them in one group.
        process_group: ranks that evaluate equal parts of every batch. Losses, projected_grad, and gradients
            are averaged over the ranks (`addax.distributed`). All ranks must take the same steps, with losses
            that reach the same parameters. None means this process only.

    Raises:
        TypeError: if the first argument is not a module, or if an argument is unknown.
        ValueError: if the model has no trainable parameter; if a trainable parameter is not a plain
            contiguous floating-point tensor with memory (because it is quantized, or offloaded to the meta
            device) or is missing from the groups; if the model has more than 2^15 trainable parameters; if it
            contains a wrapper that reduces gradients, such as DistributedDataParallel; if a learning rate is
            negative or not finite, or a group has a setting that the method would ignore; or if ranks differ
            in their parameters or seeds.
    """

    #: Name in tables and figures.
    label: ClassVar[str]
    #: arXiv id of the paper that introduced the method; None if there is none.
    paper: ClassVar[str | None] = None
    #: Names of the closures that the method takes, in evaluation order: "zo_loss", "fo_loss", "full_loss".
    closures: ClassVar[tuple[str, ...]]
    #: Whether a learning-rate schedule can drive the method. A method that averages its iterates needs none.
    takes_schedule: ClassVar[bool] = True
    #: Number of steps between two measurements of the realized fraction (16-bit parameters only).
    MEASURE_EVERY: ClassVar[int] = 16
    #: Attributes that the next step depends on, in addition to torch's optimizer state.
    state_attributes: ClassVar[tuple[str, ...]] = (
        "steps",
        "seed",
        "skipped_steps",
        "consecutive_skips",
        "masked_steps",
        "loss_scale",
    )
    # A GradScaler then calls `step`, which raises an error that names the correct call.
    _step_supports_amp_scaling = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "step" in vars(cls):
            cls.step = checked_step(cls.step)

    def __init__(
        self,
        model: nn.Module,
        lr: float,
        *,
        seed: int = 0,
        rounding: str = "stochastic",
        params: Iterable[Any] | None = None,
        process_group: ProcessGroup | None = None,
    ) -> None:
        self.indices = trainable(model)
        refuse_wrappers(model, type(self).__name__)
        within(lr, "lr", low=0)
        one_of(rounding, "rounding", ROUNDINGS)
        self.seed = whole(seed, "seed")
        self.init_torch([{"params": list(self.indices)}] if params is None else as_groups(params), lr)
        names = {p: name for name, p in model.named_parameters()}
        self.check_groups(self.indices, names)
        self.model = model
        self.rounding = rounding
        self.steps = 0
        device = next(iter(self.indices)).device
        self.skipped_steps = torch.zeros((), dtype=torch.int64, device=device)
        self.consecutive_skips = torch.zeros((), dtype=torch.int64, device=device)
        self.masked_steps = torch.zeros((), dtype=torch.int64, device=device)
        self.loss_scale = LossScale()
        self.process_group = process_group
        self.watch(names)

    @classmethod
    def arguments(cls) -> dict[str, Any]:
        """Return the constructor's arguments after `model`, and their defaults.

        The default of a required argument is `inspect.Parameter.empty`.
        """
        # In Python 3.11.2, the signature of the class is that of an inherited `__new__`.
        parameters = list(inspect.signature(cls.__init__).parameters.values())[2:]
        return {p.name: p.default for p in parameters if p.kind is not p.VAR_KEYWORD}

    @property
    def noise(self) -> str | None:
        """The implementation that draws the noise: "torch" or "philox" (`addax.noise`); None if none does.

        If the parameters are on several devices, this is the implementation of the first one.
        """
        rounds = self.rounding == "stochastic" and any(p.dtype in HALF for p in self.indices)
        if self.closures == ("fo_loss",) and not rounds:
            return None
        return noise.implementation(next(iter(self.indices)).device)

    def next_closures(self) -> tuple[str, ...]:
        """Return the names of the closures that the next step needs."""
        return self.closures

    @property
    def step_kinds(self) -> int:
        """Number of kinds of step that the method cycles through; each kind has its `next_closures()`."""
        return 1

    @contextmanager
    def evaluation_weights(self) -> Iterator[None]:
        """Hold the weights to evaluate and to save in the parameters, then put the trained ones back.

        Most methods evaluate the weights that they train, so this changes nothing. A method that averages its
        iterates overrides it: inside the context the parameters hold the average, `state_dict()` includes the
        weights to train, and no step is taken; afterward the parameters hold the same bits as before.
        """
        yield

    def step_seed(self, *stream: int) -> int:
        """Return the seed of this step's direction.

        Args:
            *stream: integers that distinguish several directions of one step.
        """
        return seeds.hash_seed(self.seed, self.steps, *stream)

    def mean_over_ranks(self, value: Tensor) -> Tensor:
        """Return a tensor's mean over the ranks, in at least float32.

        Without a process group, return the tensor.
        """
        return mean_over_ranks(value, self.process_group)

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
            reported_loss: the loss to report, equal on all ranks. None reports the mean of `loss` over ranks.
            fo_weight: weight of the gradient.
            in_place: whether to update during the backward pass.
            forwards: number of closure evaluations in this step, to report.
            arithmetic: "exact" or "released".

        Returns:
            The statistics of the step.
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
        # On a CPU, reading the check is free and can save the backward pass. On other devices it would wait
        # for the device, so the update applies the check as a mask.
        moves = not on_cpu or bool(is_finite)
        finite: list[Tensor] = []
        if moves:
            options = {"in_place": in_place, "scale": self.loss_scale}
            finite = (released.apply_step if arithmetic == "released" else apply_step)(
                self.learning_rates(),
                Step(self.step_seed(), draws=self.draws, rounding=self.rounding, realized=realized),
                names=self.names,
                loss=loss,
                fo_weight=fo_weight,
                directions=[(w, e.projected_grad, e.step_seed) for w, e in estimates],
                is_finite=None if on_cpu else is_finite,
                group=self.process_group,
                **({} if arithmetic == "released" else options),
            )
        masked = masked_among(finite, is_finite.device)
        skipped = ~is_finite
        if finite and not estimates:
            skipped = skipped | (masked == len(finite))
        self.count(skipped, masked)
        return StepStats(
            loss=reported_loss,
            projected_grad=estimates[0][1].projected_grad if estimates else None,
            forwards=forwards,
            backwards=int(loss is not None and moves),
            skipped=skipped,
            masked_gradients=masked,
            realized_fraction=None if realized is None else realized.value(),
        )

    def count(self, skipped: Tensor, masked: Tensor | None = None) -> None:
        """Update the counters after a step, on the device.

        Args:
            skipped: bool scalar, whether no parameter changed.
            masked: int64 scalar, the number of gradients that were left out; None means 0.
        """
        # A state that was loaded from a file may be on a different device.
        self.skipped_steps = self.skipped_steps.to(skipped.device) + skipped
        self.consecutive_skips = (self.consecutive_skips.to(skipped.device) + 1) * skipped
        if masked is not None:
            self.masked_steps = self.masked_steps.to(skipped.device) + (masked > 0)
        self.steps += 1
        self.publish_state()
        self.forget_noise()
        # Otherwise an autocast region around several steps would reuse weights cast before this step.
        torch.clear_autocast_cache()
