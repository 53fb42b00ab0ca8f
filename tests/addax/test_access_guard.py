"""Tests that the access guard names the weights that are read through tensors outside the model."""

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from addax.access_guard import any_aliased
from baselines.mezo import MeZO
from tests.numerics.oracle import check_unmoved, fill, generator


class Borrowed(nn.Module):
    """A model that uses a view of a weight, which was created before the step."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(5, 5)
        self.second = nn.Linear(5, 5)
        self.spare = nn.Linear(5, 5)

    def forward(self, x):
        """Map `(batch, 5)` to `(batch, 5)`."""
        return nn.functional.linear(self.first(x), self.view)


def borrowed() -> nn.Module:
    """Build the model in float64."""
    model = fill(Borrowed(), torch.float64)
    model.view = model.second.weight.detach().t()
    return model


def cubes(model):
    x = torch.randn(4, 5, generator=generator(0), dtype=torch.float64)
    return (model(x) ** 3).mean()


def test_a_read_through_an_earlier_view_is_rejected_by_name_at_every_step():
    model = borrowed()
    opt = MeZO(model, lr=1e-3)
    match = r"parameter 'second\.weight' is read by aten::\w+ through a tensor that was created before"

    def run():
        for _ in range(2):
            with pytest.raises(ValueError, match=match):
                opt.step(zo_loss=lambda: cubes(model))

    check_unmoved(model, run)
    assert opt.steps == 0
    MeZO(model, lr=1e-3, arithmetic="released").step(zo_loss=lambda: cubes(model))


def test_a_view_that_appears_after_the_first_step_is_noticed():
    model = borrowed()
    model.view = torch.eye(5).double()
    opt = MeZO(model, lr=1e-3)
    opt.step(zo_loss=lambda: cubes(model))
    model.view = model.second.weight.data
    with pytest.raises(ValueError, match=r"parameter 'second\.weight' is read"):
        opt.step(zo_loss=lambda: cubes(model))


def test_an_earlier_view_that_is_not_read_is_allowed():
    """Such as a state dict, which holds a view of every weight."""
    model = borrowed()
    del model.view
    parameters = list(model.parameters())
    held = [model.state_dict()]
    assert any_aliased(model, parameters)

    def loss():
        like = torch.zeros_like(held[0]["spare.weight"])
        return (model.second(model.first(torch.ones(4, 5).double())) ** 3).mean() + like.sum()

    assert torch.isfinite(MeZO(model, lr=1e-3).estimate(loss).projected_grad)
    held.clear()
    assert not any_aliased(model, parameters)


def test_tensors_that_share_a_storage_are_distinguished():
    """Tensors of a memory-mapped file share a storage. Reading a frozen one is allowed anywhere."""
    model = borrowed()
    whole = torch.randn(50, generator=generator(9), dtype=torch.float64)
    model.first.weight.data, model.second.weight.data = whole[:25].view(5, 5), whole[25:].view(5, 5)
    model.view = model.second.weight.detach()
    model.second.weight.requires_grad_(False)
    MeZO(model, lr=1e-3).estimate(lambda: cubes(model))


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
@pytest.mark.parametrize("reentrant", [False, True])
def test_the_access_guard_works_inside_checkpoints(reentrant):
    model = borrowed()

    def loss():
        return checkpoint(lambda: cubes(model), use_reentrant=reentrant)

    with pytest.raises(ValueError, match=r"'second\.weight' is read"):
        MeZO(model, lr=1e-3).estimate(loss)
