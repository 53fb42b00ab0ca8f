"""Adam: torch's Adam with the contract of the other methods.

    m     <- b1 m + (1 - b1) g,   v <- b2 v + (1 - b2) g^2,   g = grad L(theta)
    theta <- theta - lr m_hat / ( sqrt(v_hat) + 1e-8 )

Kingma and Ba, arXiv 1412.6980. Without weight decay, as in MeZO's and Addax's baselines.
Cost: 1 forward, 1 backward; 0 draws of z; 1 pass over theta, after the backward.
Memory: activations, gradients of theta's size, and two moments of theta's size, in theta's dtype.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.distributed import ProcessGroup

from addax.backward import UNREACHED, differentiable, refuse_gradients
from addax.optimizer import Loss, Method, StepStats
from addax.spsa import scalar


class Adam(Method, torch.optim.Adam):
    """Adam as a torch optimizer; fused, so that a step with a non-finite loss is masked on the device.

    torch stores the moments in the parameters' dtype. In float16 a v below 2^-25 (from gradients below 5e-3)
    is stored as zero, so the denominator then depends on the current g only.

    Args:
        model: its trainable parameters are optimized.
        lr: learning rate.
        betas: decay rates of both moments, (b1, b2).
        params: parameter groups; see `Method`.
        process_group: ranks that share the work; see `Method`.

    >>> model = nn.Linear(4, 1)
    >>> opt = Adam(model, lr=1e-3)
    >>> stats = opt.step(fo_loss=lambda: model(torch.ones(8, 4)).square().mean())
    >>> stats.forwards, stats.backwards
    (1, 1)
    """

    label = "Adam"
    closures = ("fo_loss",)

    def __init__(
        self,
        model: nn.Module,
        lr: float,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        params: Iterable[dict[str, Any]] | None = None,
        process_group: ProcessGroup | None = None,
    ) -> None:
        self.betas = tuple(betas)
        super().__init__(model, lr, params=params, process_group=process_group)

    def init_torch(self, groups: list[dict[str, Any]], lr: float) -> None:
        """Initialize torch's Adam."""
        torch.optim.Adam.__init__(self, groups, lr=lr, betas=self.betas, fused=True)

    def step(self, *, zo_loss: Loss | None = None, fo_loss: Loss | None = None) -> StepStats:
        """Take one step; `fo_loss` returns the scalar mean loss of the batch and is called once.

        Raises:
            ValueError: no `fo_loss`, a `zo_loss`, a loss that is not a scalar with a gradient, or a
                gradient from before the step.
        """
        self.validate_closures(zo_loss=zo_loss, fo_loss=fo_loss)
        refuse_gradients(self.names)
        with torch.enable_grad():
            loss = differentiable(fo_loss())
        reported_loss = self.mean_over_ranks(scalar(loss.detach(), "fo_loss"))
        is_finite = torch.isfinite(reported_loss)
        try:
            half = any(p.dtype == torch.float16 for p in self.indices)
            self.grad_scale = self.loss_scale.begin(loss.device) if half else None
            (loss.float() * self.grad_scale if half else loss).backward()
            if all(p.grad is None for p in self.indices):
                raise ValueError(UNREACHED)
            self._average_gradients()
            if half:
                finite = [torch.isfinite(p.grad).all() for p in self.indices if p.grad is not None]
                self.loss_scale.end(finite)
                is_finite = is_finite & torch.stack([f.to(is_finite.device) for f in finite]).all()
            # torch's fused Adam skips the step, and does not count it, if this is 1.
            self.found_inf = (~is_finite).float()
            still = [p for g in self.param_groups if g["lr"] == 0 for p in g["params"]]
            negative_zeros = [(p == 0) & p.signbit() for p in still]
            torch.optim.Adam.step(self)
            with torch.no_grad():
                for p, at in zip(still, negative_zeros, strict=True):
                    # At a learning rate of 0 torch subtracts zeros, which makes negative zeros positive.
                    p.masked_fill_(at, -0.0)
        finally:
            self.zero_grad()
        self.count(~is_finite)
        return StepStats(reported_loss, None, forwards=1, backwards=1, skipped=~is_finite)

    def _average_gradients(self) -> None:
        """Average gradients over the ranks, in the same order on all of them."""
        if self.process_group is not None:
            for p in self.indices:
                if p.grad is not None:
                    p.grad = self.mean_over_ranks(p.grad).to(p.dtype)
