"""What methods with a zeroth-order part share: eps, the perturbation and its arithmetic."""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.distributed import ProcessGroup

from addax import released
from addax.optimizer import Loss, Method
from addax.spsa import Estimate, PerturbedForward
from addax.validation import one_of, within

ARITHMETICS = ("exact", "released")


class ZerothOrder(Method):
    """A method that estimates along directions; arguments as in `addax.Addax`."""

    def __init__(
        self,
        model: nn.Module,
        lr: float,
        *,
        eps: float,
        seed: int,
        rounding: str,
        arithmetic: str = "exact",
        check: bool,
        params: Iterable[dict[str, Any]] | None = None,
        process_group: ProcessGroup | None = None,
    ) -> None:
        super().__init__(model, lr, seed=seed, rounding=rounding, params=params, process_group=process_group)
        within(eps, "eps", low=0, open_low=True)
        one_of(arithmetic, "arithmetic", ARITHMETICS)
        self.eps = eps
        self.arithmetic = arithmetic
        self.perturbed_forward = PerturbedForward(model, self.indices, check=check)

    def estimate(
        self, zo_loss: Loss, *stream: int, base: Mapping[nn.Parameter, Tensor] | None = None
    ) -> Estimate:
        """The SPSA estimate along this step's direction, or the one of a stream, over all ranks.

        Args:
            zo_loss: returns the scalar loss of this rank's part.
            stream: see `step_seed`.
            base: the point to take it at, which "exact" alone can; theta where None.
        """
        seed, group = self.step_seed(*stream), self.process_group
        if self.arithmetic == "released":
            return released.estimate(self.indices, zo_loss, self.eps, seed, group)
        return self.perturbed_forward.estimate(zo_loss, self.eps, seed, base, group)
