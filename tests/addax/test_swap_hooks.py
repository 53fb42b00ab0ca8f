"""Tests that no copy of a model, and no model without its optimizer, has a hook that does something."""

import copy
import pickle
import weakref

import pytest
import torch

from addax.addax import Addax
from addax.swap_units import Structure
from baselines.mezo import MeZO
from tests.numerics.oracle import MLP, TIED

pytestmark = pytest.mark.usefixtures("all_large")
COPIES = {"deepcopy": copy.deepcopy, "pickle": lambda model: pickle.loads(pickle.dumps(model))}


def hooks_of(model):
    """Return all forward hooks of a model's modules."""
    return [
        hook
        for module in model.modules()
        for hooks in (module._forward_pre_hooks, module._forward_hooks, module._forward_hooks_always_called)
        for hook in hooks
    ]


@pytest.mark.parametrize("way", COPIES)
def test_a_copy_made_between_steps_has_no_hooks(way):
    model = TIED.build(torch.float32)
    opt = MeZO(model, lr=1e-3)
    opt.step(zo_loss=TIED.closure(model, 0))
    assert hooks_of(COPIES[way](model)) == hooks_of(model) == []


@pytest.mark.parametrize("way", COPIES)
def test_a_copy_made_by_a_closure_does_not_touch_the_model(way):
    """The hooks of the copy do nothing, also while a later estimate of the model runs."""
    model = MLP.build(torch.float64)
    opt = MeZO(model, lr=0.0)
    copies = []

    def loss():
        if not copies:
            copies.append(COPIES[way](model))
        return MLP.loss(model, 0)

    opt.step(zo_loss=loss)
    assert hooks_of(copies[0])
    expected = opt.estimate(MLP.closure(model, 0)).projected_grad
    before = [p.clone() for p in copies[0].parameters()]

    def with_the_copy():
        MLP.loss(copies[0], 0)
        return MLP.loss(model, 0)

    assert torch.equal(opt.estimate(with_the_copy).projected_grad, expected)
    assert all(torch.equal(p, old) for p, old in zip(copies[0].parameters(), before, strict=True))


def test_a_model_outlives_its_optimizer_without_hooks():
    model = MLP.build(torch.float32)
    opt = Addax(model, lr=1e-3, alpha=0.5)
    opt.step(zo_loss=MLP.closure(model, 0), fo_loss=MLP.closure(model, 1))
    swap = weakref.ref(opt.perturbed_forward.swap)
    assert hooks_of(model) == []
    del opt
    import gc

    gc.collect()
    assert swap() is None
    assert torch.isfinite(MLP.loss(model, 0))


def test_hooks_of_others_stay_in_their_order():
    model, order = MLP.build(torch.float32), []
    first = next(m for m in model.modules() if isinstance(m, torch.nn.Linear))
    handles = [first.register_forward_pre_hook(lambda *_, name=name: order.append(name)) for name in "ab"]
    MeZO(model, lr=1e-3).step(zo_loss=MLP.closure(model, 0))
    assert order == ["a", "b"] * 2
    for handle in handles:
        handle.remove()
    assert hooks_of(model) == []


def test_units_are_found_again_after_a_move_to_another_device():
    """What is small depends on the device."""
    model = MLP.build(torch.float32)
    structure = Structure(model, dict.fromkeys(model.parameters()), whole=False)
    assert structure.is_current(whole=False)
    structure._devices = [torch.device("cuda", 0) for _ in structure._devices]
    assert not structure.is_current(whole=False)
