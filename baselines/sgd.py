"""SGD: stochastic gradient descent that updates parameters after the backward pass.

    theta <- theta - lr grad L(theta)

The arithmetic equals that of IP-SGD, bit for bit. SGD differs only in that it keeps all gradients until the
backward pass ends, so it needs more memory.
Robbins and Monro, Annals of Mathematical Statistics 22, 1951.
Cost: 1 forward, 1 backward; 0 draws of z; 1 pass over theta, after the backward.
Memory: activations, and gradients of theta's size.
"""

from baselines.ip_sgd import IPSGD


class SGD(IPSGD):
    """SGD as a torch optimizer (Robbins and Monro, 1951).

    The arguments and errors are those of `Method`. `seed` defines the noise of stochastic rounding.

    Examples:
        >>> import torch
        >>> from torch import nn
        >>> model = nn.Linear(4, 1)
        >>> opt = SGD(model, lr=1e-3)
        >>> stats = opt.step(fo_loss=lambda: model(torch.ones(8, 4)).square().mean())
        >>> stats.forwards, stats.backwards
        (1, 1)
    """

    label = "SGD"
    paper = None
    in_place = False
