"""Train a small model with Addax in a plain PyTorch loop. Addax adds five lines to any model and data."""

from functools import partial

import torch

from addax import Addax

torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.Tanh(), torch.nn.Linear(32, 1))
x = torch.randn(64, 8)
y = x.sum(dim=1, keepdim=True)


def loss_of(batch: torch.Tensor) -> torch.Tensor:
    """Return the mean loss of the examples whose indices are in `batch`."""
    return torch.nn.functional.mse_loss(model(x[batch]), y[batch])


opt = Addax(model, lr=5e-2, alpha=1e-2, seed=0)
for step in range(200):
    zo_batch, fo_batch = torch.randint(64, (6,)), torch.randint(64, (4,))
    stats = opt.step(zo_loss=partial(loss_of, zo_batch), fo_loss=partial(loss_of, fo_batch))
    print(f"step {step}: loss {float(stats.loss):.4f}")
