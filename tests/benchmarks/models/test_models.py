"""Tests of every family file: its contract, its names, and models built from configurations."""

import pytest
import torch

from benchmarks import models, registry
from benchmarks.errors import UserError
from tests.benchmarks.models.nano_models import CONFIGS


@pytest.mark.parametrize("name", registry.files("model"))
def test_a_family_file_binds_a_family(name):
    family = registry.module("model", name).FAMILY
    assert isinstance(family, models.Family)
    assert family.model_types
    assert registry.summary("model", name)


def test_every_name_and_every_model_type_belongs_to_one_family():
    families = models.families().values()
    types = [t for f in families for t in f.model_types]
    names = [n for f in families for n in f.builtin]
    assert len(types) == len(set(types))
    assert len(names) == len(set(names))


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.model_type)
@pytest.mark.parametrize("head", ["lm", "classification"])
def test_a_configuration_builds_a_model_with_and_without_values(config, head):
    labels = 3 if head == "classification" else None
    real = models.build(config, dtype=torch.float32, head=head, num_labels=labels)
    empty = models.build(config, dtype=torch.bfloat16, device="meta", head=head, num_labels=labels)
    shapes = {key: p.shape for key, p in real.named_parameters()}
    assert {key: p.shape for key, p in empty.named_parameters()} == shapes
    assert all(p.is_meta and p.dtype == torch.bfloat16 for p in empty.parameters())
    logits = real(input_ids=torch.tensor([[5, 6, 7]]), attention_mask=torch.ones(1, 3)).logits
    assert logits.shape == ((1, 3, 50) if head == "lm" else (1, 3))
    assert logits.isfinite().all()


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.model_type)
def test_positions_are_the_longest_length_that_the_architecture_takes(config):
    family = models.family_of(config.model_type, "here")
    real = models.build(config, dtype=torch.float32)
    longest = family.positions(config)
    ids = torch.full((1, longest), 5)
    assert real(input_ids=ids).logits.shape[1] == longest
    if config.model_type != "llama":
        with pytest.raises((IndexError, RuntimeError)):
            real(input_ids=torch.full((1, longest + 1), 5))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nano-otp", "did you mean 'nano-opt'"),
        ("roberta", "did you mean 'nano-roberta'.*owner/name"),
        ("./nowhere", "no such folder"),
        ("some/where/else", "no such folder"),
        ("/", "no config.json"),
    ],
)
def test_a_wrong_name_is_rejected(name, message):
    with pytest.raises(UserError, match=message) as caught:
        models.check(name)
    assert "\n" not in str(caught.value)


def test_a_hub_name_is_accepted_without_contacting_the_hub():
    models.check("facebook/opt-13b")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"model_type": "t5"}', r"model_type 't5' \(T5\) is an encoder-decoder.*facebook/opt-125m"),
        ("{}", "model_type"),
        ("not json", "config.json"),
    ],
)
def test_a_folder_of_an_unsupported_type_is_rejected(tmp_path, text, message):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UserError, match=message):
        models.check(str(tmp_path))
