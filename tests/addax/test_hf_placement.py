"""Tests that a method that was built from a model follows it to the trainer's device."""

import pytest
import torch

from addax import Addax
from baselines.adam import Adam
from baselines.mezo import MeZO
from baselines.mezo_svrg import MeZOSVRG
from tests.addax.trainers import LR, STEPS, mixed, trainer
from tests.numerics.oracle import bits, opt_model

ELSEWHERE = torch.device("cuda", 0)


def built_elsewhere(method):
    """Make a method believe that it was built when its model was on another device."""
    method.placements = {p: (ELSEWHERE, p.dtype) for p in method.placements}
    return method


def test_a_ready_made_method_takes_its_steps_after_the_trainer_has_moved_the_model(tmp_path):
    reference, model = opt_model(torch.float32), opt_model(torch.float32)
    trainer(tmp_path, reference, optimizers=(Addax(reference, lr=LR), None), **mixed()).train()
    method = built_elsewhere(Addax(model, lr=LR))
    trainer(tmp_path, model, optimizers=(method, None), **mixed()).train()
    assert method.steps == STEPS
    assert bits(model) == bits(reference)


def step(method, model):
    def loss():
        return model(input_ids=torch.tensor([[3, 4, 5]])).logits.square().mean()

    method.step(**dict.fromkeys(method.next_closures(), loss))


@pytest.mark.parametrize("method_class", [MeZO, Adam, MeZOSVRG])
def test_following_does_not_change_the_next_step(method_class):
    """A method that has taken steps has state, such as moments and anchors."""
    results = []
    for moves in (False, True):
        model = opt_model(torch.float32)
        method = method_class(model, lr=LR)
        step(method, model)
        if moves:
            with pytest.raises(ValueError, match=r"was moved or converted from .* on cuda:0"):
                step(built_elsewhere(method), model)
            method.follow()
        step(method, model)
        results.append((bits(model), method.steps))
    assert results[0] == results[1]


def test_following_moves_the_state_to_the_parameters():
    """The meta device stands in for a GPU."""
    model = torch.nn.Linear(3, 2)
    method = Adam(model, lr=LR)
    method.step(fo_loss=lambda: model(torch.ones(1, 3)).square().sum())
    for p in model.parameters():
        # Unlike `module.to("meta")`, this keeps the parameter object, as `module.to("cuda")` does.
        torch.utils.swap_tensors(p, torch.nn.Parameter(p.detach().to("meta")))
    method.follow()
    moments = [method.state[p][name] for p in model.parameters() for name in ("exp_avg", "exp_avg_sq")]
    assert {moment.device.type for moment in moments} == {"meta"}
    assert set(method.placements.values()) == {(torch.device("meta"), torch.float32)}


def test_a_conversion_is_still_rejected():
    model = opt_model(torch.float32)
    method = MeZO(model, lr=LR)
    model.bfloat16()
    with pytest.raises(ValueError, match=r"converted from torch\.float32 on cpu to torch\.bfloat16 on cpu"):
        method.follow()
