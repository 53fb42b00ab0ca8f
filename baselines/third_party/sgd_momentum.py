"""SGD with momentum: torch's fused SGD, with the usual momentum of 0.9.

    b     <- momentum b + g,   g = grad L(theta) + weight_decay theta
    theta <- theta - lr b

With nesterov, theta moves along g + momentum b. The first step sets b to g. The defaults are those of the
usual recipe: momentum 0.9, and no weight decay, as in the baselines of MeZO and Addax.
Polyak, USSR Computational Mathematics and Mathematical Physics 4, 1964.
Cost: 1 forward, 1 backward; 0 draws of z; 1 pass over theta, after the backward.
Memory: activations, gradients of theta's size, and b, of theta's size, in theta's dtype.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.distributed import ProcessGroup

from baselines.third_party._adapter import Adapter


class SGDMomentum(Adapter):
    """SGD with momentum (Polyak, 1964), `torch.optim.SGD`.

    Args:
        model: the model whose trainable parameters are optimized.
        lr: learning rate.
        momentum: decay rate of the momentum.
        nesterov: move along g + momentum b instead of b.
        weight_decay: factor of theta that is added to the gradient.
        params: parameter groups; see `Method`.
        process_group: ranks that share the work; see `Method`.

    Examples:
        >>> model = nn.Linear(4, 1)
        >>> opt = SGDMomentum(model, lr=1e-3)
        >>> stats = opt.step(fo_loss=lambda: model(torch.ones(8, 4)).square().mean())
        >>> stats.forwards, stats.backwards
        (1, 1)
    """

    label = "Momentum SGD"
    optimizer = "torch.optim:SGD"

    def __init__(
        self,
        model: nn.Module,
        lr: float,
        *,
        momentum: float = 0.9,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        params: Iterable[Any] | None = None,
        process_group: ProcessGroup | None = None,
    ) -> None:
        settings = {"momentum": momentum, "nesterov": nesterov, "weight_decay": weight_decay}
        super().__init__(model, lr, params=params, process_group=process_group, **settings)

    def build(self, groups: list[dict[str, Any]], lr: float) -> list[torch.optim.Optimizer]:
        """Return torch's fused SGD, which needs no temporary tensors."""
        # torch refuses it for tensors without values. There, its loop allocates the same memory.
        form = {"foreach": False} if any(p.is_meta for p in self.indices) else {"fused": True}
        return [torch.optim.SGD(groups, lr=lr, **form, **self.settings)]
