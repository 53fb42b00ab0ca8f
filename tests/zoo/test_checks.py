"""Tests of the checks themselves: they fail on a step that is wrong in one parameter, or on hidden state."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from baselines.ip_sgd import IPSGD
from baselines.mezo import MeZO
from tests.numerics.oracle import generator
from tests.zoo.checks import check_ip_sgd, check_mezo


class Counting(nn.Module):
    """A model whose output depends on the number of its calls, which is neither a parameter nor a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2).double()
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return self.layer(x) * (1 + 0.1 * self.calls)


def loss(model: nn.Module) -> torch.Tensor:
    return F.mse_loss(model(torch.ones(4, 3, dtype=torch.float64)), torch.zeros(4, 2, dtype=torch.float64))


@pytest.fixture
def model():
    """Return a small model in float64."""
    model = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2)).double()
    rng = generator(1)
    for p in model.parameters():
        p.data.normal_(generator=rng)
    return model


CHECKS = pytest.mark.parametrize(("check", "method"), [(check_mezo, MeZO), (check_ip_sgd, IPSGD)])


@CHECKS
def test_a_check_leaves_theta_and_gradients_as_they_were(check, method, model):
    before = [p.detach().clone() for p in model.parameters()]
    check(model, loss)
    assert all(map(torch.equal, before, model.parameters()))
    assert all(p.grad is None for p in model.parameters())


@CHECKS
def test_a_check_fails_if_one_weight_is_off_by_a_billionth(check, method, model, monkeypatch):
    step = method.step

    def wrong(self, **closures):
        stats = step(self, **closures)
        model[2].bias.data[1] += 1e-9
        return stats

    monkeypatch.setattr(method, "step", wrong)
    with pytest.raises(AssertionError, match="Tensor-likes are not close"):
        check(model, loss)


@CHECKS
def test_a_check_fails_on_state_that_differs_between_evaluations(check, method):
    with pytest.raises(AssertionError, match="not close"):
        check(Counting(), loss)
