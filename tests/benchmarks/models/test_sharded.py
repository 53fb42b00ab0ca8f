"""Tests of every method on a model in several parts, on one machine without GPUs.

Accelerate's hooks move inputs to the device of a part. For a part on disk, they load its weights into memory
during its forward. Parts on several devices are not tested here.
"""

import pytest
import torch
from accelerate import dispatch_model

from addax.optimizer import Method
from benchmarks import models
from benchmarks.registry import files
from tests.baselines.test_methods import class_of

METHODS = pytest.mark.parametrize("method", sorted(files("method")))
NAMES = pytest.mark.parametrize("name", ["nano-opt", "nano-llama", "nano-roberta"])
STEPS = 3


def load(name: str, **more) -> torch.nn.Module:
    """Load a nano model, by default in float32 on the CPU with a language-model head."""
    return models.load(name, **({"dtype": torch.float32, "device": "cpu", "head": "lm"} | more)).model


def layers(model: torch.nn.Module) -> str:
    """Return the name of a model's list of layers."""
    return next(key for key, m in model.named_modules() if isinstance(m, torch.nn.ModuleList))


def parts(model: torch.nn.Module, last: str) -> dict[str, str]:
    """Return a device map in which every layer and every other module is a part on the CPU.

    The last layer is on `last` instead.
    """
    found, prefix, module = {}, "", model
    for word in layers(model).split("."):
        found |= {f"{prefix}{name}": "cpu" for name, _ in module.named_children() if name != word}
        prefix, module = f"{prefix}{word}.", module.get_submodule(word)
    found |= {f"{prefix}{i}": "cpu" for i in range(len(module))}
    return found | {f"{prefix}{len(module) - 1}": last}


def train(method: str, model: torch.nn.Module) -> Method:
    """Take a few steps on fixed tokens, with every closure of the method, and return the optimizer."""
    opt = class_of(method)(model, lr=1e-2)
    ids = torch.randint(5, 200, (3, 9), generator=torch.Generator().manual_seed(0))

    def loss():
        return model(input_ids=ids, labels=ids).loss

    for _ in range(STEPS):
        stats = opt.step(**dict.fromkeys(opt.closures, loss))
        assert torch.isfinite(stats.loss)
    return opt


@pytest.mark.medium
@METHODS
@NAMES
def test_a_model_in_parts_with_hooks_trains_like_the_whole_model(method, name):
    whole, split = load(name), load(name)
    start = {key: p.detach().clone() for key, p in whole.named_parameters()}
    split = dispatch_model(split, parts(split, "cpu"), main_device="cpu", force_hooks=True)
    assert hasattr(split.get_submodule(layers(split))[1], "_hf_hook")
    for model in (whole, split):
        train(method, model)
    trained = dict(split.named_parameters())
    for key, p in whole.named_parameters():
        assert torch.equal(p, trained[key]), key
    assert any(not torch.equal(p, start[key]) for key, p in trained.items())


@pytest.mark.medium
@METHODS
@NAMES
def test_a_trainable_part_on_disk_is_rejected_and_a_frozen_one_is_allowed(method, name, tmp_path):
    whole = load(name)
    split = load(name, device=parts(whole, "disk"), offload_folder=tmp_path)
    offloaded = [key for key, p in split.named_parameters() if p.is_meta]
    assert offloaded
    with pytest.raises(ValueError, match=f"parameter '{offloaded[0]}' is offloaded to disk or CPU"):
        class_of(method)(split, lr=1e-2)
    for model in (whole, split):
        for key in offloaded:
            model.get_parameter(key).requires_grad_(False)
        train(method, model)
    trained = dict(split.named_parameters())
    for key, p in whole.named_parameters():
        if key in offloaded:
            assert trained[key].is_meta
        else:
            assert torch.equal(p, trained[key]), key
