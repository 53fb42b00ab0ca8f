"""SGD: stochastic gradient descent with all gradients held until the backward pass is over.

    theta <- theta - lr grad L(theta)

The same arithmetic as IP-SGD, bit for bit; what differs is when, and so the memory.
Robbins and Monro, Annals of Mathematical Statistics 22, 1951.
Cost: 1 forward, 1 backward; 0 draws of z; 1 pass over theta, after the backward.
Memory: activations, and gradients of the size of theta.
"""

from baselines.ip_sgd import IPSGD


class SGD(IPSGD):
    """SGD as a torch optimizer; arguments as in `baselines.ip_sgd.IPSGD`."""

    label = "SGD"
    in_place = False
