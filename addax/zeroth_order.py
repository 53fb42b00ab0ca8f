"""The shared part of all methods with a zeroth-order part: their options and the SPSA estimate."""

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, TypedDict, Unpack

from torch import Tensor, nn
from torch.distributed import ProcessGroup

from addax import noise, released
from addax.forward_state import ForwardState
from addax.optimizer import Loss, Method
from addax.small_tensors import KeptNoise
from addax.spsa import Estimate, PerturbedForward
from addax.validation import one_of, within

ARITHMETICS = ("exact", "released")


class ZeroOrderOptions(TypedDict, total=False):
    """Keyword arguments of every method with a zeroth-order part. `ZERO_ORDER_DEFAULTS` lists their defaults.

    Attributes:
        eps: perturbation scale.
        direction: the distribution of z: "normal", or "rademacher" for independent random signs. Both have
            mean 0 and covariance I; see `addax.noise`.
        seed: defines the noise of every step (directions and stochastic rounding).
        rounding: how 16-bit parameters are written: "stochastic" or "nearest".
        params: parameter groups; see `Method`.
        process_group: ranks that share the work; see `Method`.
    """

    eps: float
    direction: str
    seed: int
    rounding: str
    params: Iterable[dict[str, Any]] | None
    process_group: ProcessGroup | None


ZERO_ORDER_DEFAULTS: ZeroOrderOptions = {
    "eps": 1e-3,
    "direction": "normal",
    "seed": 0,
    "rounding": "stochastic",
    "params": None,
    "process_group": None,
}


class ZerothOrder(Method):
    """Base class of the methods that estimate a directional derivative.

    Args:
        model: the model whose trainable parameters are optimized.
        lr: learning rate.
        **options: see `ZeroOrderOptions`.
    """

    #: "exact", or "released" for the published procedure. Some subclasses let their constructor choose.
    arithmetic = "exact"

    def __init__(self, model: nn.Module, lr: float, **options: Unpack[ZeroOrderOptions]) -> None:
        options = ZERO_ORDER_DEFAULTS | options
        eps, direction = options.pop("eps"), options.pop("direction")
        super().__init__(model, lr, **options)
        within(eps, "eps", low=0, open_low=True)
        one_of(direction, "direction", noise.DIRECTIONS)
        self.eps = eps
        self.direction = direction

    @cached_property
    def draws(self) -> KeptNoise:
        """The noise of the current step."""
        return KeptNoise(self.indices, self.direction)

    @cached_property
    def perturbed_forward(self) -> PerturbedForward:
        """The evaluation of losses at perturbed weights."""
        return PerturbedForward(self.model, self.draws)

    @classmethod
    def arguments(cls) -> dict[str, Any]:
        """Return the constructor's arguments and their defaults, including `ZeroOrderOptions`."""
        return super().arguments() | ZERO_ORDER_DEFAULTS

    def estimate(
        self,
        zo_loss: Loss,
        *stream: int,
        base: Mapping[nn.Parameter, Tensor] | None = None,
        state: ForwardState | None = None,
    ) -> Estimate:
        """Return the SPSA estimate along a direction of this step, averaged over all ranks.

        Args:
            zo_loss: returns the scalar loss of this rank's part of the batch.
            *stream: selects the direction; see `step_seed`.
            base: the point of the estimate ("exact" arithmetic only). None means theta.
            state: the forward state to start from ("exact" arithmetic only). None means the current state.
        """
        seed, group = self.step_seed(*stream), self.process_group
        if self.arithmetic == "released":
            return released.estimate(self.model, self.draws, zo_loss, self.eps, seed, group)
        return self.perturbed_forward.estimate(zo_loss, self.eps, seed, base, group, state)
