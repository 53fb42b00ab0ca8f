"""MeZO-SVRG: MeZO with a full-batch anchor that reduces the variance of minibatch estimates.

    every q-th step:  anchor <- theta;  (s_f, z_f) = SPSA of the full loss at theta
                      theta  <- theta - eta1 s_f z_f
    otherwise:        s  = SPSA of the minibatch at theta,  s' = at the anchor, both along one z
                      theta  <- theta - eta2 ( (s - s') z + s_f z_f )

Gautam et al., arXiv 2404.08080, Algorithm 2. An estimate is stored as one scalar and one seed, never as a
tensor. `variant="released"` behaves like the released code, whose anchor aliases the live parameters. There,
s' is also taken at theta, along a separate direction.
If a full-batch estimate is not finite, no parameter changes, and the old anchor and estimate are kept. Until
the first finite estimate, every step is a full-batch step.
Cost: 2 full losses every q-th step, else 4 forwards, 0 backwards; 3 draws of z at an anchor step, 6 otherwise
(7 if released); 1 pass over theta.
Memory: one module's weights, plus the weights of tied parameters, plus the anchor: a copy of theta (not
needed if released).
"""

from collections.abc import Iterable, Mapping
from typing import Any, Unpack

import torch
from torch import Tensor, nn

from addax.forward_state import ForwardState
from addax.optimizer import Loss
from addax.spsa import Estimate
from addax.step_stats import StepStats
from addax.validation import one_of, whole, within
from addax.zeroth_order import ZeroOrderOptions, ZerothOrder

VARIANTS = ("paper", "released")


class MeZOSVRG(ZerothOrder):
    """MeZO-SVRG as a torch optimizer (Gautam et al., arXiv 2404.08080, Algorithm 2).

    Args:
        model: the model whose trainable parameters are optimized.
        lr: eta1, the learning rate of full-batch steps.
        lr_ratio: eta2 / eta1, where eta2 is the learning rate of minibatch steps.
        anchor_every: q, the number of steps from one full-batch step to the next.
        variant: "paper" for the algorithm of the paper, or "released" for the behavior of the released code.
        **options: eps, seed, rounding, params, process_group; see `ZeroOrderOptions`.

    Raises:
        ValueError: if an argument is out of range, or for a reason listed under `Method`.

    Examples:
        >>> import torch
        >>> from torch import nn
        >>> model = nn.Linear(4, 1)
        >>> x, y = torch.ones(8, 4), torch.zeros(8, 1)
        >>> opt = MeZOSVRG(model, lr=1e-2)
        >>> full_loss = lambda: nn.functional.mse_loss(model(x), y)
        >>> zo_loss = lambda: nn.functional.mse_loss(model(x[:2]), y[:2])
        >>> opt.next_closures(), opt.step(full_loss=full_loss).forwards
        (('full_loss',), 2)
        >>> opt.next_closures(), opt.step(zo_loss=zo_loss).forwards
        (('zo_loss',), 4)
    """

    label = "MeZO-SVRG"
    paper = "2404.08080"
    closures = ("zo_loss", "full_loss")
    state_attributes = (*ZerothOrder.state_attributes, "full")

    def __init__(
        self,
        model: nn.Module,
        lr: float,
        *,
        lr_ratio: float = 0.1,
        anchor_every: int = 2,
        variant: str = "paper",
        **options: Unpack[ZeroOrderOptions],
    ) -> None:
        super().__init__(model, lr, **options)
        within(lr_ratio, "lr_ratio", low=0)
        within(anchor_every, "anchor_every", low=1)
        one_of(variant, "variant", VARIANTS)
        self.lr_ratio = lr_ratio
        self.anchor_every = whole(anchor_every, "anchor_every")
        self.variant = variant
        self.full: Estimate | None = None

    @property
    def anchor(self) -> list[Tensor] | None:
        """The anchor's value of each parameter, or None before the first finite estimate (or if released)."""
        if self.full is None or self.variant == "released":
            return None
        return [self.state[p]["anchor"] for p in self.indices]

    @property
    def at_anchor(self) -> bool:
        """Whether the next step is a full-batch step, which calls `full_loss`."""
        return self.full is None or self.steps % self.anchor_every == 0

    @property
    def step_kinds(self) -> int:
        """Number of kinds of step: 2 (anchor and minibatch), or 1 if every step is an anchor step."""
        return min(self.anchor_every, 2)

    def next_closures(self) -> tuple[str, ...]:
        """Return `full_loss` if the next step is an anchor step, and `zo_loss` if it is a minibatch step."""
        return ("full_loss",) if self.at_anchor else ("zo_loss",)

    def step(
        self,
        *,
        zo_loss: Loss | None = None,
        full_loss: Loss | None = None,
        fo_loss: Loss | None = None,
    ) -> StepStats:
        """Take one step with the closure that `next_closures` names. The other closure may be given too.

        Args:
            zo_loss: returns the scalar mean loss of the minibatch.
            full_loss: returns the scalar mean loss of the whole training set.
            fo_loss: not accepted.

        Returns:
            The statistics of the step.

        Raises:
            ValueError: if the closure that this step needs is missing, if `fo_loss` is given, or if a loss is
                not a scalar.
        """
        (needed,) = self.next_closures()
        if (full_loss if self.at_anchor else zo_loss) is None:
            raise ValueError(f"MeZOSVRG needs {needed} at step {self.steps}: pass zo_loss and full_loss")
        return self._anchor_step(full_loss) if self.at_anchor else self._minibatch_step(zo_loss)

    def allocate_state(self, parameters: Iterable[nn.Parameter]) -> None:
        """Allocate the anchor of parameters. The next step is a full-batch step, which defines it."""
        self.full = None
        for p in parameters:
            anchor = {"anchor": torch.zeros_like(p, requires_grad=False)}
            self.state[p] = anchor if self.variant == "paper" else {}

    def method_state(self) -> dict[str, Any]:
        """Return the state as in `Method`, with the estimate as a dict. Its seed is -1 if there is none."""
        p = next(iter(self.indices))
        zeros = torch.zeros(2, dtype=torch.promote_types(p.dtype, torch.float32), device=p.device)
        full = vars(self.full or Estimate(*zeros, -1)).copy()
        return super().method_state() | {"full": full}

    def restored(
        self, values: dict[str, Any], saved: Mapping[nn.Parameter, Mapping[str, Any]]
    ) -> dict[str, Any]:
        """Return the saved values, with the estimate as such. Raise `ValueError` for another variant."""
        if any(("anchor" in entry) == (self.variant == "released") for entry in saved.values()):
            raise ValueError(
                f"cannot load this state into variant {self.variant!r}: it is from another variant; "
                "build the method with the variant of the state"
            )
        full = values["full"]
        return values | {"full": None if full["step_seed"] < 0 else Estimate(**full)}

    def _anchor_step(self, full_loss: Loss) -> StepStats:
        estimate = self.estimate(full_loss)
        # The host decides which estimate to keep, so an anchor step waits for the device. Other steps do not.
        if bool(torch.isfinite(estimate.projected_grad) & torch.isfinite(estimate.loss)):
            self.publish_state()
            self.full = estimate
            if self.variant == "paper":
                for p in self.indices:
                    self.state[p]["anchor"].copy_(p.detach())
        return self.update(estimates=[(1.0, estimate)], reported_loss=estimate.loss, forwards=2)

    def _minibatch_step(self, zo_loss: Loss) -> StepStats:
        # All four evaluations draw the same dropout masks, so that their differences are due to theta alone.
        state = ForwardState(self.model, zo_loss)
        here = self.estimate(zo_loss, state=state)
        if self.variant == "paper":
            base = dict(zip(self.indices, self.anchor, strict=True))
            there = self.estimate(zo_loss, base=base, state=state)
            reduced = Estimate(here.projected_grad - there.projected_grad, here.loss, here.step_seed)
            estimates = [(self.lr_ratio, reduced), (self.lr_ratio, self.full)]
        else:
            there = self.estimate(zo_loss, 1, state=state)
            estimates = [(self.lr_ratio, here), (-self.lr_ratio, there), (self.lr_ratio, self.full)]
        return self.update(estimates=estimates, reported_loss=here.loss, forwards=4)
