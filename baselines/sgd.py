"""SGD: stochastic gradient descent; all gradients are alive until the backward pass ends.

    theta <- theta - lr grad L(theta)

The arithmetic is that of IP-SGD, bit for bit; only the time of the update, and so the memory, differs.
Robbins and Monro, Annals of Mathematical Statistics 22, 1951.
Cost: 1 forward, 1 backward; 0 draws of z; 1 pass over theta, after the backward.
Memory: activations, and gradients of theta's size.
"""

from baselines.ip_sgd import IPSGD


class SGD(IPSGD):
    """SGD as a torch optimizer; arguments as in `baselines.ip_sgd.IPSGD`.

    >>> import torch
    >>> model = torch.nn.Linear(4, 1)
    >>> opt = SGD(model, lr=1e-3)
    >>> stats = opt.step(fo_loss=lambda: model(torch.ones(8, 4)).square().mean())
    >>> stats.forwards, stats.backwards
    (1, 1)
    """

    label = "SGD"
    in_place = False
