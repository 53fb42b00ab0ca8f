"""What methods with a zeroth-order part share: their options and the SPSA estimate of a step."""

from collections.abc import Iterable, Mapping
from typing import Any, TypedDict, Unpack

from torch import Tensor, nn
from torch.distributed import ProcessGroup

from addax import released
from addax.optimizer import Loss, Method
from addax.spsa import Estimate, PerturbedForward
from addax.validation import within

ARITHMETICS = ("exact", "released")


class ZeroOrderOptions(TypedDict, total=False):
    """Keyword arguments of every method with a zeroth-order part; `ZERO_ORDER_DEFAULTS` holds their defaults.

    Attributes:
        eps: perturbation scale.
        seed: defines all noise of all steps: directions and stochastic rounding.
        rounding: how 16-bit parameters are written: "stochastic" or "nearest".
        check: watch the first estimate for weights that are read outside their module's forward, where
            "exact" arithmetic cannot perturb them; `ValueError` names the first one.
        params: parameter groups; see `Method`.
        process_group: ranks that share the work; see `Method`.
    """

    eps: float
    seed: int
    rounding: str
    check: bool
    params: Iterable[dict[str, Any]] | None
    process_group: ProcessGroup | None


ZERO_ORDER_DEFAULTS: ZeroOrderOptions = {
    "eps": 1e-3,
    "seed": 0,
    "rounding": "stochastic",
    "check": True,
    "params": None,
    "process_group": None,
}


class ZerothOrder(Method):
    """Base of the methods that estimate a directional derivative.

    Args:
        model: its trainable parameters are optimized.
        lr: learning rate.
        **options: see `ZeroOrderOptions`.
    """

    #: "exact", or "released" for the published procedure; a constructor may offer the choice.
    arithmetic = "exact"

    def __init__(self, model: nn.Module, lr: float, **options: Unpack[ZeroOrderOptions]) -> None:
        options = ZERO_ORDER_DEFAULTS | options
        eps, check = options.pop("eps"), options.pop("check")
        super().__init__(model, lr, **options)
        within(eps, "eps", low=0, open_low=True)
        self.eps = eps
        self.perturbed_forward = PerturbedForward(model, self.indices, check=check)

    @classmethod
    def arguments(cls) -> dict[str, Any]:
        """As for every method, with `ZeroOrderOptions`."""
        return super().arguments() | ZERO_ORDER_DEFAULTS

    def estimate(
        self, zo_loss: Loss, *stream: int, base: Mapping[nn.Parameter, Tensor] | None = None
    ) -> Estimate:
        """Return the SPSA estimate along this step's direction, or along that of a stream, over all ranks.

        Args:
            zo_loss: returns the scalar loss of this rank's part.
            stream: see `step_seed`.
            base: the point to take the estimate at ("exact" arithmetic only); theta if None.
        """
        seed, group = self.step_seed(*stream), self.process_group
        if self.arithmetic == "released":
            return released.estimate(self.indices, zo_loss, self.eps, seed, group)
        return self.perturbed_forward.estimate(zo_loss, self.eps, seed, base, group)
