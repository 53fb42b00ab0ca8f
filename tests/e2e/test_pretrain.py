"""Pretraining of the nano models: the same name gives the same weights, in a folder that loads."""

import pytest
import torch

from benchmarks import models, pretrain

NANO = [name for name in models.builtin() if name.startswith("nano-")]
SHORT = pretrain.Recipe(steps=3, batch_tokens=600, warmup=1)


def quiet(line: str) -> None:
    """No progress lines."""


@pytest.mark.parametrize("name", NANO)
def test_the_same_name_gives_the_same_weights(name, tmp_path):
    state = torch.get_rng_state()
    first, tokenizer = pretrain.pretrain(name, SHORT, report=quiet)
    torch.manual_seed(123)
    before = torch.get_rng_state()
    again, _ = pretrain.pretrain(name, SHORT, report=quiet)
    assert torch.equal(torch.get_rng_state(), before)
    torch.set_rng_state(state)
    weights = first.state_dict()
    assert all(torch.equal(weights[key], value) for key, value in again.state_dict().items())

    untrained, _ = pretrain.pretrain(name, pretrain.Recipe(steps=0), report=quiet)
    assert any(not torch.equal(weights[key], value) for key, value in untrained.state_dict().items())

    pretrain.save(first, tokenizer, tmp_path / name)
    loaded = models.load(str(tmp_path / name), dtype=torch.float32, device="cpu", head="lm")
    assert all(torch.equal(weights[key], value) for key, value in loaded.model.state_dict().items())
    assert sorted(f.name for f in (tmp_path / name).iterdir()) == sorted(
        f.name for f in (models.WEIGHTS / name).iterdir()
    )


@pytest.mark.parametrize("name", NANO)
def test_committed_weights_are_small(name):
    assert (models.WEIGHTS / name / "model.safetensors").stat().st_size <= 1.5e6
