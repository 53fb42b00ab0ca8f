"""Adafactor: Adam without first moments, with second moments that are stored as rows and columns.

    b     = 1 - t^beta2_decay,   g = grad L(theta)
    r     <- b r + (1 - b) mean of g^2 over each row,   c <- b c + (1 - b) mean of g^2 over each column
    u     = g / sqrt( max( r c^T / mean(r), eps1^2 ) ),   u <- u / max( 1, RMS(u) / d )
    theta <- theta - max( eps2, RMS(theta) ) min( lr, 1 / sqrt(t) ) u

A parameter with one dimension has a full second moment v instead of r c^T / mean(r). A step is relative to
the size of each parameter, so a learning rate is the relative change of a weight, and 1e-3 to 1e-2 is usual.
The defaults are those of the paper: beta2_decay -0.8, eps (none, 1e-3), where none is the machine epsilon of
theta's dtype, and clipping at d = 1. There is no weight decay, as in the baselines of MeZO and Addax.
Shazeer and Stern, arXiv 1804.04235, Algorithms 4 and 5, as `torch.optim.Adafactor` implements them.
Cost: 1 forward, 1 backward; 0 draws of z; 1 pass over theta, after the backward.
Memory: activations, gradients of theta's size, one row and one column per matrix, and during the update
temporaries of the size of the largest parameter.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.distributed import ProcessGroup

from baselines.third_party._adapter import Adapter


class Adafactor(Adapter):
    """Adafactor (Shazeer and Stern, arXiv 1804.04235), `torch.optim.Adafactor`.

    Args:
        model: the model whose trainable parameters are optimized.
        lr: learning rate, relative to the root mean square of each parameter; 1e-3 to 1e-2 is usual.
        beta2_decay: exponent of the decay rate of the second moments, at most 0.
        eps: regularization of the squared gradient (none is the machine epsilon) and of the parameter scale.
        d: clipping threshold of the update's root mean square.
        weight_decay: decoupled weight decay, multiplied by lr.
        params: parameter groups; see `Method`.
        process_group: ranks that share the work; see `Method`.

    Examples:
        >>> model = nn.Linear(4, 1)
        >>> opt = Adafactor(model, lr=1e-2)
        >>> stats = opt.step(fo_loss=lambda: model(torch.ones(8, 4)).square().mean())
        >>> stats.forwards, stats.backwards
        (1, 1)
    """

    label = "Adafactor"
    paper = "1804.04235"
    optimizer = "torch.optim:Adafactor"

    def __init__(
        self,
        model: nn.Module,
        lr: float,
        *,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        params: Iterable[Any] | None = None,
        process_group: ProcessGroup | None = None,
    ) -> None:
        settings = {"beta2_decay": beta2_decay, "eps": tuple(eps), "d": d, "weight_decay": weight_decay}
        super().__init__(model, lr, params=params, process_group=process_group, **settings)

    def build(self, groups: list[dict[str, Any]], lr: float) -> list[torch.optim.Optimizer]:
        """Return torch's Adafactor, one parameter at a time: its other form keeps copies of all of them."""
        return [torch.optim.Adafactor(groups, lr=lr, foreach=False, **self.settings)]
