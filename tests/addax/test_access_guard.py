"""Tests that the access guard names exactly the weights that are read while their module is not running."""

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from baselines.mezo import MeZO
from tests.numerics.oracle import check_unmoved, fill, generator


def _cubes(model, batch):
    x = torch.randn(4, 5, generator=generator(batch), dtype=torch.float64)
    return (model(x) ** 3).mean()


class Borrowed(nn.Module):
    """A model that uses another module's weight, directly or through a view created before."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.first = nn.Linear(5, 5)
        self.second = nn.Linear(5, 5)
        self.spare = nn.Linear(5, 5)

    def forward(self, x):
        """Map `(batch, 5)` to `(batch, 5)`."""
        weight = self.view if self.how == "a view from before" else self.second.weight
        if self.how == "after its forward":
            x = self.second(x)
        return nn.functional.linear(self.first(x), weight)


def borrowed(how: str) -> nn.Module:
    """Build the model in float64, with a view of a weight, which it uses only in one of the cases."""
    model = fill(Borrowed(how), torch.float64)
    model.view = model.second.weight.detach().t()
    return model


def penalized(model, batch):
    """Return a loss with a penalty on the weights."""
    return _cubes(model.first, batch) + model.second.weight.pow(2).sum()


OUTSIDE = {
    **{
        how: (lambda how=how: borrowed(how), _cubes, "second")
        for how in ("linear", "after its forward", "a view from before")
    },
    "penalty": (lambda: borrowed("linear"), penalized, "second"),
    "direct forward": (lambda: fill(nn.Linear(5, 5), torch.float64), None, ""),
}


@pytest.mark.parametrize("how", OUTSIDE)
def test_a_weight_read_outside_its_module_is_named(how):
    build, loss, module = OUTSIDE[how]
    model = build()
    closure = (lambda: model.forward(torch.ones(2, 5).double()).sum()) if loss is None else None
    closure = closure or (lambda: loss(model, 0))
    opt = MeZO(model, lr=1e-3)
    owner = f"its module '{module}" if module else "the model itself"
    match = rf"parameter '{module}.*(weight|bias)' is read .* outside the forward of {owner}.*freeze it"

    def run():
        for _ in range(2):
            with pytest.raises(ValueError, match=match):
                opt.step(zo_loss=closure)

    check_unmoved(model, run)
    assert opt.steps == 0
    MeZO(model, lr=1e-3).estimate(closure)
    MeZO(model, lr=1e-3, arithmetic="released").step(zo_loss=closure)


def test_operators_that_read_no_values_are_allowed():
    """The operators read shapes, create views, and read frozen weights."""
    model = borrowed("linear")
    model.second.weight.requires_grad_(False)

    def loss():
        like = torch.zeros_like(model.spare.weight)
        model.spare.weight.t()[1:].detach()
        return _cubes(model, 0) + like.sum() + model.spare.weight.new_ones(2).sum()

    assert torch.isfinite(MeZO(model, lr=1e-3).estimate(loss).projected_grad)


def test_tensors_that_share_a_storage_are_distinguished():
    """Tensors of a memory-mapped file share a storage. Reading a frozen one is allowed anywhere."""
    model = borrowed("linear")
    whole = torch.randn(50, generator=generator(9), dtype=torch.float64)
    model.first.weight.data, model.second.weight.data = whole[:25].view(5, 5), whole[25:].view(5, 5)
    model.second.weight.requires_grad_(False)
    MeZO(model, lr=1e-3).estimate(lambda: _cubes(model, 0))


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
@pytest.mark.parametrize("reentrant", [False, True])
def test_the_access_guard_works_inside_checkpoints(reentrant):
    model = borrowed("linear")

    def loss():
        return checkpoint(lambda: _cubes(model, 0), use_reentrant=reentrant)

    with pytest.raises(ValueError, match=r"'second\.weight' is read"):
        MeZO(model, lr=1e-3).estimate(loss)
