"""Backward: apply a first-order update during the backward pass, one tensor at a time.

    theta <- theta - lr ( sum_k w_k g0_k z_k + fo_weight g1 )

Each gradient becomes an update as soon as it is complete and is then dropped, so at most one tensor's
gradient exists at a time (plus the partial sum of a parameter that is used more than once). Autograd needs a
weight only until its gradient is complete, even with gradient checkpointing, so the weight may change after
that. Addax, IP-SGD, and SGD share this code, so they agree bit for bit wherever their updates are equal.

Lv et al., arXiv 2306.09782 (LOMO). Memory: the largest gradient, instead of all gradients (theta's size).
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.distributed import ProcessGroup

from addax import noise
from addax.distributed import mean_over_ranks
from addax.fused_update import apply_fused, apply_fused_updates
from addax.loss_scale import LossScale
from addax.update import Step, apply_update, apply_updates

UNREACHED = (
    "the first-order loss does not depend on trainable parameters of the model: compute it with the model "
    "that the method was built from (a copied method has its own model, .model)"
)


def apply_step(
    learning_rates: Sequence[tuple[nn.Parameter, int, float]],
    step: Step,
    *,
    names: Mapping[nn.Parameter, str],
    loss: Tensor | None = None,
    fo_weight: float = 1.0,
    directions: Sequence[tuple[float, Tensor, int]] = (),
    is_finite: Tensor | None = None,
    scale: LossScale | None = None,
    in_place: bool = True,
    group: ProcessGroup | None = None,
) -> list[Tensor]:
    """Apply theta <- theta - lr ( sum_k w_k g0_k z_k + fo_weight g1 ), visiting each tensor once.

    A parameter whose gradient has an element that is not finite does not move. With fused kernels, only the
    elements whose gradient is not finite do not move.

    Args:
        learning_rates: (parameter, index, lr) of every parameter to update.
        step: how the step is drawn and rounded; its directions are ignored.
        names: names of the parameters, for error messages.
        loss: the first-order loss, not yet back-propagated; None for a zeroth-order step.
        fo_weight: weight of g1; (1 - alpha) in Addax.
        directions: (weight w, g0, step seed of z) of each zeroth-order estimate.
        is_finite: bool scalar. If it is False, no parameter changes. None means that the host has already
            checked.
        scale: the loss scale for float16 parameters.
        in_place: whether to update during the backward pass. If False, the update follows the backward pass,
            and all gradients are alive at once.
        group: ranks over which each gradient is averaged. All other arguments are equal on all ranks.

    Returns:
        For each gradient, in the order of the parameters, whether all of its elements are finite: bool
        scalars on the devices of the gradients.
    """
    table = {p: (index, lr) for p, index, lr in learning_rates}
    coefficients = _Coefficients(step, directions, is_finite, fo_weight)
    finite: dict[int, Tensor] = {}

    def update(p: nn.Parameter, grad: Tensor) -> None:
        index, lr = table[p]
        grad = mean_over_ranks(grad, group)
        applied = coefficients.step(p.device, lr)
        if noise.uses_kernels(p.device) and lr != 0 and grad.numel():
            not_finite = torch.zeros((), dtype=torch.int32, device=p.device)
            apply_fused([(p, index, grad)], applied, not_finite)
            finite[index] = not_finite == 0
            return
        clean = finite[index] = all_finite(grad)
        if lr == 0:
            # Return early, because subtracting zero would turn negative zeros positive.
            return
        if noise.on_cpu(p.device):
            if bool(clean):
                apply_update(p, index, applied, grad)
            else:
                apply_update(p, index, replace(applied, directions=()))
        else:
            mask = clean if is_finite is None else clean & coefficients.is_finite(p.device)
            pairs = [(torch.where(clean, c, 0), seed) for c, seed in applied.directions]
            apply_update(p, index, replace(applied, directions=pairs), grad, mask)

    visited: set[nn.Parameter] = set()
    if loss is not None:
        if scale is not None and any(p.dtype == torch.float16 for p in table):
            coefficients.loss_scale = scale.begin(loss.device)
            loss = loss.float() * coefficients.loss_scale
        collected: list[tuple[nn.Parameter, Tensor]] = []
        visit = update if in_place else lambda p, grad: collected.append((p, grad))
        with gradient_hooks({p: names[p] for p in table}, visit) as visited:
            loss.backward()
        for p, grad in collected:
            update(p, grad)
        # Gradients on several devices complete in no fixed order.
        flags = [finite[index] for index in sorted(finite)]
        if coefficients.loss_scale is not None:
            scale.end(flags)
    else:
        flags = []
    if directions:
        rest: dict[tuple[torch.device, float], list[tuple[nn.Parameter, int]]] = {}
        for p, (index, lr) in table.items():
            if lr != 0 and p not in visited:
                rest.setdefault((p.device, lr), []).append((p, index))
        for (device, lr), parameters in rest.items():
            apply = apply_fused_updates if noise.uses_kernels(device) else apply_updates
            apply(parameters, coefficients.step(device, lr))
    return flags


class _Coefficients:
    """The coefficients of a step, computed once per device and learning rate.

    They are numbers on a CPU and scalar tensors on other devices, where a step that is not finite has
    coefficients of zero.

    Args:
        step: how the step is drawn and rounded.
        directions, is_finite, fo_weight: see `apply_step`.

    Attributes:
        loss_scale: the scale of the gradients, a scalar; None if they are not scaled.
    """

    def __init__(
        self,
        step: Step,
        directions: Sequence[tuple[float, Tensor, int]],
        is_finite: Tensor | None,
        fo_weight: float,
    ) -> None:
        self.loss_scale: Tensor | None = None
        self._step = step
        self._directions = directions
        self._finite = is_finite
        self._fo_weight = fo_weight
        self._steps: dict[tuple[torch.device, float], Step] = {}
        self._masks: dict[torch.device, Tensor] = {}

    def is_finite(self, device: torch.device) -> Tensor:
        """Return the check of the step on a device."""
        if device not in self._masks:
            self._masks[device] = self._finite.to(device)
        return self._masks[device]

    def step(self, device: torch.device, lr: float) -> Step:
        """Return the step with its coefficients for the parameters on a device with a learning rate."""
        if (device, lr) not in self._steps:
            pairs = [(self._of(device, g0, lr * weight), seed) for weight, g0, seed in self._directions]
            self._steps[device, lr] = replace(
                self._step, directions=pairs, gradient=self._of_gradient(device, lr * self._fo_weight)
            )
        return self._steps[device, lr]

    def _of(self, device: torch.device, projected_grad: Tensor, factor: float) -> Tensor | float:
        if noise.on_cpu(device):
            return float(projected_grad) * factor if self._moves_cpu() else 0.0
        return self._masked(device, projected_grad.to(device) * factor)

    def _of_gradient(self, device: torch.device, factor: float) -> Tensor | float:
        if noise.on_cpu(device):
            if not self._moves_cpu():
                return 0.0
            return factor if self.loss_scale is None else factor / float(self.loss_scale)
        scale = 1.0 if self.loss_scale is None else self.loss_scale.to(device)
        factor = torch.full((), factor, dtype=torch.float64, device=device)
        return self._masked(device, factor / scale)

    def _moves_cpu(self) -> bool:
        # If the loss is on another device, the host has not checked it.
        return self._finite is None or bool(self._finite)

    def _masked(self, device: torch.device, coefficient: Tensor) -> Tensor:
        return coefficient if self._finite is None else torch.where(self.is_finite(device), coefficient, 0)


@contextmanager
def gradient_hooks(
    names: Mapping[nn.Parameter, str], visit: Callable[[nn.Parameter, Tensor], None]
) -> Iterator[set[nn.Parameter]]:
    """Pass each gradient of a backward pass to `visit` once it is complete, then drop it.

    Args:
        names: the parameters to visit and their names.
        visit: called with a parameter and its dense gradient.

    Yields:
        The set of parameters visited so far.

    Raises:
        ValueError: if a parameter already has a gradient, which would be added to the new one; if no
            parameter gets a gradient; or, during the backward pass, if a parameter gets a second gradient
            after its visit (reentrant checkpoints back-propagate each segment separately). In the last case,
            the parameters visited so far have changed.
    """
    visited: set[nn.Parameter] = set()

    def hook(p: nn.Parameter) -> None:
        grad, p.grad = p.grad, None
        if p in visited:
            raise ValueError(
                f"parameter {names[p]!r} got a second gradient after its update in the same backward pass: "
                "pass use_reentrant=False to the checkpoints that share it"
            )
        visited.add(p)
        # A sparse gradient (of an embedding with sparse=True) may contain the same row several times.
        visit(p, grad if grad.layout == torch.strided else grad.to_dense())

    refuse_gradients(names)
    handles = [p.register_post_accumulate_grad_hook(hook) for p in names]
    try:
        yield visited
    finally:
        for handle in handles:
            handle.remove()
    if not visited:
        raise ValueError(UNREACHED)


def refuse_gradients(names: Mapping[nn.Parameter, str]) -> None:
    """Raise `ValueError` naming the first parameter that has a gradient."""
    for p, name in names.items():
        if p.grad is not None:
            raise ValueError(
                f"parameter {name!r} already has a gradient before the step: call zero_grad() first"
            )


def differentiable(loss: object) -> Tensor:
    """Return a first-order closure's loss.

    Raise `ValueError` unless it is a scalar that requires a gradient.
    """
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        got = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        raise ValueError(f"fo_loss must return a scalar tensor, not {got}")
    if not loss.requires_grad:
        raise ValueError(f"fo_loss returned a loss without a gradient: {UNREACHED}")
    return loss.reshape(())


def all_finite(grad: Tensor) -> Tensor:
    """Return whether every element is finite, as a bool scalar on the device, without a copy of `grad`."""
    if not grad.numel():
        return torch.ones((), dtype=torch.bool, device=grad.device)
    if noise.on_cpu(grad.device):
        # A sum takes much less time than a norm. It may overflow although every element is finite.
        wide = torch.float32 if grad.dtype == torch.float16 else None
        total = torch.isfinite(grad.sum(dtype=wide))
        if bool(total):
            return total
    return torch.isfinite(torch.linalg.vector_norm(grad, math.inf))
