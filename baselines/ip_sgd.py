"""IP-SGD: stochastic gradient descent inside the backward pass.

    theta <- theta - lr grad L(theta)

Each tensor moves as soon as its gradient is complete. LOMO, Lv et al., arXiv 2306.09782; the baseline of
Addax, arXiv 2410.06441, Section 3.
Cost: 1 forward, 1 backward; 0 draws of z; 1 pass over theta, during the backward.
Memory: activations and one tensor's gradient.
"""

import torch

from addax.backward import differentiable
from addax.optimizer import Loss, Method, StepStats


class IPSGD(Method):
    """IP-SGD as a torch optimizer; arguments as in `Method`. `seed` defines the noise of stochastic rounding.

    >>> from torch import nn
    >>> model = nn.Linear(4, 1)
    >>> opt = IPSGD(model, lr=1e-3)
    >>> stats = opt.step(fo_loss=lambda: model(torch.ones(8, 4)).square().mean())
    >>> stats.forwards, stats.backwards
    (1, 1)
    """

    label = "IP-SGD"
    closures = ("fo_loss",)
    in_place = True

    def step(self, *, zo_loss: Loss | None = None, fo_loss: Loss | None = None) -> StepStats:
        """Take one step; `fo_loss` returns the scalar mean loss of the batch and is called once.

        Raises:
            ValueError: no `fo_loss`, a `zo_loss`, or a loss that is not a scalar with a gradient.
        """
        self.validate_closures(zo_loss=zo_loss, fo_loss=fo_loss)
        with torch.enable_grad():
            loss = differentiable(fo_loss())
        return self.update(loss=loss, in_place=self.in_place, forwards=1)
