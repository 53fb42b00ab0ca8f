"""In place: a first-order update inside the backward pass, one tensor at a time.

A gradient lives from its computation to its update, so at most one tensor's gradient exists at a time,
plus the partial sum of a parameter that is used more than once. Autograd needs a weight only until
that weight's own gradient is complete, gradient checkpointing included, so it may move then.

Lv et al., arXiv 2306.09782 (LOMO). Memory: the largest gradient, where all gradients would be theta's size.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

UNREACHED = "the first-order loss does not depend on trainable parameters of the model"


@contextmanager
def gradient_hooks(
    names: Mapping[nn.Parameter, str], visit: Callable[[nn.Parameter, Tensor], None]
) -> Iterator[set[nn.Parameter]]:
    """While open, a backward pass hands each gradient to `visit` once it is complete, then drops it.

    Args:
        names: the parameters to visit, with their names.
        visit: takes a parameter and its gradient, dense.

    Yields:
        The set of parameters visited so far.

    Raises:
        ValueError: a parameter holds a gradient already, which the visit would take for its own; none got
            one; or, from within the backward pass, one gets a second gradient after its visit (reentrant
            checkpoints back-propagate each segment alone). Parameters visited before that have moved.
    """
    visited: set[nn.Parameter] = set()

    def hook(p: nn.Parameter) -> None:
        grad, p.grad = p.grad, None
        if p in visited:
            raise ValueError(
                f"parameter {names[p]!r} got a second gradient after its update in the same backward pass: "
                "checkpointed segments that share it need use_reentrant=False"
            )
        visited.add(p)
        # Embeddings with sparse=True, for one, whose rows may come several times.
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
    """`ValueError` naming the first of the parameters that holds a gradient."""
    for p, name in names.items():
        if p.grad is not None:
            raise ValueError(
                f"parameter {name!r} holds a gradient from before the step: set it to None first (zero_grad)"
            )


def differentiable(loss: object) -> Tensor:
    """A first-order closure's loss; `ValueError` if it is not a scalar that depends on a parameter."""
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        got = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        raise ValueError(f"fo_loss must return a scalar tensor, not {got}")
    if not loss.requires_grad:
        raise ValueError(f"fo_loss returned a loss without gradient: {UNREACHED}")
    return loss.reshape(())


def all_finite(grad: Tensor) -> Tensor:
    """Whether every element is finite, as a bool scalar on the device, without scratch of its size."""
    if not grad.numel():
        return torch.ones((), dtype=torch.bool, device=grad.device)
    return torch.isfinite(torch.linalg.vector_norm(grad, math.inf))


class LossScale:
    """Dynamic loss scale of float16 gradients, kept on the device so that a step never waits for it.

    The loss is multiplied by a power of two before the backward pass, the update divided by it. An
    overflow halves the next scale; `GROWTH_STEPS` clean steps double it. Micikevicius et al., 1710.03740.
    """

    INITIAL = 2.0**15
    GROWTH_STEPS = 1000

    def __init__(self) -> None:
        self.scale: Tensor | None = None
        self.clean: Tensor | None = None
        self.overflows: Tensor | None = None

    def begin(self, device: torch.device) -> Tensor:
        """The scale of this step, a float32 scalar."""
        if self.scale is None:
            self.scale = torch.full((), self.INITIAL, device=device)
            self.clean = torch.zeros((), dtype=torch.int64, device=device)
            self.overflows = torch.zeros((), dtype=torch.int64, device=device)
        # A state loaded from a file may lie on another device.
        vars(self).update({name: held.to(device) for name, held in vars(self).items()})
        return self.scale

    def end(self, finite: list[Tensor]) -> None:
        """Adapts to a step's gradients: bool scalars, one a tensor, False where it overflowed."""
        clean = torch.stack([f.to(self.scale.device) for f in finite])
        good = clean.all()
        self.overflows = self.overflows + (~clean).sum()
        self.clean = (self.clean + 1) * good
        grow = self.clean >= self.GROWTH_STEPS
        self.clean = self.clean * ~grow
        factor = torch.where(good, torch.where(grow, 2.0, 1.0), 0.5)
        self.scale = (self.scale * factor).clamp(1.0, 2.0**24)

    def state_dict(self) -> dict[str, Tensor | None]:
        """The scale and its counters."""
        return vars(self).copy()

    def load_state_dict(self, state: dict[str, Tensor | None]) -> None:
        """Continues from a saved state."""
        vars(self).update(state)
