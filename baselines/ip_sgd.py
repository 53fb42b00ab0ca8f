"""IP-SGD: stochastic gradient descent that updates parameters in place, during the backward pass.

    theta <- theta - lr grad L(theta)

Each tensor is updated as soon as its gradient is complete. Lv et al. (LOMO), arXiv 2306.09782; a baseline in
the Addax paper, arXiv 2410.06441, Section 3.
Cost: 1 forward, 1 backward; 0 draws of z; 1 pass over theta, during the backward.
Memory: activations and one tensor's gradient.
"""

import torch

from addax.backward import differentiable
from addax.optimizer import Loss, Method
from addax.step_stats import StepStats


class IPSGD(Method):
    """IP-SGD as a torch optimizer (LOMO: Lv et al., arXiv 2306.09782).

    The arguments and errors are those of `Method`. `seed` defines the noise of stochastic rounding.

    Examples:
        >>> import torch
        >>> from torch import nn
        >>> model = nn.Linear(4, 1)
        >>> opt = IPSGD(model, lr=1e-3)
        >>> stats = opt.step(fo_loss=lambda: model(torch.ones(8, 4)).square().mean())
        >>> stats.forwards, stats.backwards
        (1, 1)
    """

    label = "IP-SGD"
    paper = "2306.09782"
    closures = ("fo_loss",)
    #: Whether parameters are updated during the backward pass.
    in_place = True

    def step(self, *, zo_loss: Loss | None = None, fo_loss: Loss | None = None) -> StepStats:
        """Take one step.

        Args:
            zo_loss: not accepted.
            fo_loss: returns the scalar mean loss of the batch. It is called once.

        Returns:
            The statistics of the step.

        Raises:
            ValueError: if `fo_loss` is missing, if `zo_loss` is given, or if the loss is not a scalar with a
                gradient.
        """
        with torch.enable_grad():
            loss = differentiable(fo_loss())
        return self.update(loss=loss, in_place=self.in_place, forwards=1)
