"""Tests of a tensor with more elements than a block of noise, perturbed and updated."""

import pytest
import torch
from torch import nn

from addax import noise
from baselines.mezo import MeZO
from tests.gpu.conftest import WITH_KERNELS

# Elements beyond the first block. On a real GPU, the tensor has 2^24 + 5 elements.
MORE = 5
SIMULATED_BLOCK = 1 << 16
EPS, LR = 1e-3, 1e-2


class Large(nn.Module):
    """A module with one large weight, which keeps the weights of each forward."""

    def __init__(self, numel, dtype, device):
        super().__init__()
        values = torch.linspace(-0.01, 0.01, numel, device=device)
        self.weight = nn.Parameter(values.to(dtype))
        self.seen = []

    def forward(self):
        """Return a loss that depends on the first and the last elements."""
        self.seen.append(self.weight.detach().clone())
        ends = torch.cat([self.weight[:4], self.weight[-4:]]).float()
        return (ends * torch.arange(1, 9, device=ends.device)).sum()


@pytest.fixture
def numel(gpu, monkeypatch):
    """Return the number of elements of a block and a few more; a simulated GPU gets small blocks."""
    if gpu.place.type == "cpu":
        monkeypatch.setattr(noise, "GPU_BLOCK", SIMULATED_BLOCK)
        monkeypatch.setattr(noise, "FUSED_BLOCK", SIMULATED_BLOCK)
    return noise.block_size(gpu.place) + MORE


@WITH_KERNELS
@pytest.mark.parametrize("direction", noise.DIRECTIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_every_element_of_a_large_tensor_is_perturbed_and_updated(gpu, numel, dtype, direction):
    model = Large(numel, dtype, gpu.place)
    before = model.weight.detach().clone()
    opt = MeZO(model, lr=LR, eps=EPS, direction=direction)
    seed = opt.step_seed()
    stats = opt.step(zo_loss=model)
    z = noise.draw(seed, 0, before.shape, gpu.place, direction)
    half = dtype == torch.bfloat16
    for sign, seen in zip((1, -1), model.seen, strict=True):
        expected = (before.float() + sign * EPS * z).to(dtype)
        # A fused product may be rounded differently.
        assert torch.allclose(seen.float(), expected.float(), rtol=2.0**-7 if half else 1e-5, atol=1e-9)
        assert not torch.equal(seen[-MORE:], before[-MORE:])
    intended = before.float() - LR * stats.projected_grad * z
    moved = (intended - before.float()).abs()
    # A 16-bit element is rounded to one of its two neighbors.
    error = (model.weight.detach().float() - intended).abs()
    assert (error <= (2.0**-7 * intended.abs() + 1e-9 if half else 1e-6 * (intended.abs() + moved))).all()
    assert (moved[-MORE:] > 0).all()


@pytest.mark.parametrize("direction", noise.DIRECTIONS)
def test_z_has_the_moments_of_its_distribution(gpu, numel, direction):
    z = noise.draw(7, 3, torch.Size([numel]), gpu.place, direction)
    assert torch.equal(z, noise.draw(7, 3, torch.Size([numel]), gpu.place, direction))
    assert not torch.equal(z, noise.draw(7, 4, torch.Size([numel]), gpu.place, direction))
    assert abs(z.mean().item()) < 5 / numel**0.5
    if direction == "rademacher":
        assert torch.equal(z.abs(), torch.ones_like(z))
    else:
        assert abs(z.var().item() - 1) < 5 * (2 / numel) ** 0.5
