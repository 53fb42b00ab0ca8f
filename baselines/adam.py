"""Adam: torch's fused Adam with the interface of the other methods.

    m     <- b1 m + (1 - b1) g,   v <- b2 v + (1 - b2) g^2,   g = grad L(theta)
    theta <- theta - lr m_hat / ( sqrt(v_hat) + 1e-8 )

Kingma and Ba, arXiv 1412.6980. There is no weight decay, as in the baselines of MeZO and Addax.
Cost: 1 forward, 1 backward; 0 draws of z; 1 pass over theta, after the backward.
Memory: activations, gradients of theta's size, and two moments of theta's size, in theta's dtype.
"""

import inspect
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.distributed import ProcessGroup

from addax.backward import UNREACHED, all_finite, differentiable, refuse_gradients
from addax.groups import check_setting
from addax.loss_precision import scalar
from addax.optimizer import Loss, Method
from addax.step_stats import StepStats, masked_among


class Adam(Method, torch.optim.Adam):
    """Adam as a torch optimizer (Kingma and Ba, arXiv 1412.6980).

    The implementation is torch's fused Adam, which can mask a step with a non-finite loss on the device.
    torch stores the moments in the dtype of the parameters. In float16, a v below 2^-25 (from gradients below
    5e-3) is stored as zero, so the denominator then depends only on the current g.

    Args:
        model: the model whose trainable parameters are optimized.
        lr: learning rate.
        betas: decay rates of the two moments, (b1, b2).
        params: parameter groups; see `Method`.
        process_group: ranks that share the work; see `Method`.

    Raises:
        ValueError: if an argument is out of range, or for a reason listed under `Method`.

    Examples:
        >>> import torch
        >>> from torch import nn
        >>> model = nn.Linear(4, 1)
        >>> opt = Adam(model, lr=1e-3)
        >>> stats = opt.step(fo_loss=lambda: model(torch.ones(8, 4)).square().mean())
        >>> stats.forwards, stats.backwards
        (1, 1)
    """

    #: torch's optimizer rounds to nearest.
    noise = None
    label = "Adam"
    paper = "1412.6980"
    closures = ("fo_loss",)
    group_settings = ("lr", "betas", "eps", "weight_decay")

    def __init__(
        self,
        model: nn.Module,
        lr: float,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        params: Iterable[Any] | None = None,
        process_group: ProcessGroup | None = None,
    ) -> None:
        check_setting(betas, "betas", "betas")
        self.betas = betas
        super().__init__(model, lr, params=params, process_group=process_group)

    def init_torch(self, groups: list[dict[str, Any]], lr: float) -> None:
        """Initialize torch's Adam."""
        torch.optim.Adam.__init__(self, groups, lr=lr, betas=self.betas, fused=True)

    def allocate_state(self, parameters: Iterable[nn.Parameter]) -> None:
        """Allocate the moments and step counts of parameters, as torch does at their first step."""
        for p in parameters:
            self.state[p] = {
                "step": torch.zeros((), dtype=torch.float32, device=p.device),
                "exp_avg": torch.zeros_like(p),
                "exp_avg_sq": torch.zeros_like(p),
            }

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
        is_finite = torch.isfinite(reported_loss)
        try:
            half = any(p.dtype == torch.float16 for p in self.indices)
            if half:
                # torch's fused Adam divides the gradients by this.
                self.grad_scale = self.loss_scale.begin(loss.device)
            (loss.float() * self.grad_scale if half else loss).backward()
            if all(p.grad is None for p in self.indices):
                raise ValueError(UNREACHED)
            self._average_gradients()
            finite = [all_finite(p.grad) for p in self.indices if p.grad is not None]
            if half:
                self.loss_scale.end(finite)
            masked = masked_among(finite, is_finite.device)
            is_finite = is_finite & (masked == 0)
            # If this is 1, torch's fused Adam skips the step and does not count it.
            self.found_inf = (~is_finite).float()
            self.publish_state()
            zero_lr = [p for g in self.param_groups if g["lr"] == 0 for p in g["params"]]
            negative_zeros = [(p == 0) & p.signbit() for p in zero_lr]
            with torch.no_grad():
                # Without the wrappers around it, which would run the hooks of this step a second time.
                inspect.unwrap(torch.optim.Adam.step)(self)
                for p, mask in zip(zero_lr, negative_zeros, strict=True):
                    # At a learning rate of 0, torch subtracts zeros, which makes negative zeros positive.
                    p.masked_fill_(mask, -0.0)
        finally:
            self.zero_grad()
            vars(self).pop("grad_scale", None)
            vars(self).pop("found_inf", None)
        self.count(~is_finite, masked)
        return StepStats(reported_loss, None, 1, 1, skipped=~is_finite, masked_gradients=masked)

    def _accelerator_graph_capture_health_check(self) -> None:
        """Check that no CUDA graph is captured, as torch does, but only if a parameter is on an accelerator.

        torch's check initializes CUDA, also for parameters on the CPU.
        """
        if any(p.device.type not in ("cpu", "meta") for p in self.indices):
            super()._accelerator_graph_capture_health_check()

    def _average_gradients(self) -> None:
        """Average the gradients over the ranks. All ranks use the same order of parameters."""
        if self.process_group is not None:
            for p in self.indices:
                if p.grad is not None:
                    p.grad = self.mean_over_ranks(p.grad).to(p.dtype)
