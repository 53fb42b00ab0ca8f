"""Tests of loading: dtypes, heads, suppressed output, bad or missing weights, and models in several parts."""

import json
import re
import shutil

import pytest
import torch
from transformers import BertConfig, BertModel

from benchmarks import models
from benchmarks.errors import UserError
from tests.benchmarks.models.nano_models import NANO, SMALL, nano


@pytest.mark.parametrize("name", NANO)
def test_every_parameter_has_the_requested_dtype(name):
    full, half = nano(name).model, nano(name, dtype=torch.bfloat16).model
    for (key, p), (_, q) in zip(full.named_parameters(), half.named_parameters(), strict=True):
        assert q.dtype == torch.bfloat16, key
        assert torch.equal(p.to(torch.bfloat16), q), key


@pytest.mark.parametrize("name", NANO)
def test_a_classification_head_is_the_same_each_time_and_takes_no_random_numbers(name):
    before = torch.get_rng_state()
    one = nano(name, head="classification", num_labels=3).model
    torch.rand(7)
    two = nano(name, head="classification", num_labels=3).model
    torch.set_rng_state(before)
    nano(name, head="classification", num_labels=3)
    assert torch.equal(torch.get_rng_state(), before)
    for (key, p), (_, q) in zip(one.named_parameters(), two.named_parameters(), strict=True):
        assert torch.equal(p, q), key
    assert one.num_labels == 3
    stored = dict(nano(name).model.base_model.named_parameters())
    assert all(torch.equal(stored[key], p) for key, p in one.base_model.named_parameters())


def test_a_number_of_classes_without_a_classification_head_is_rejected():
    with pytest.raises(ValueError, match="num_labels"):
        nano("nano-opt", num_labels=2)
    with pytest.raises(ValueError, match="num_labels"):
        nano("nano-opt", head="classification")


def test_loading_prints_nothing_and_restores_logging_settings(capfd):
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    nano("nano-roberta", head="classification", num_labels=2)
    assert capfd.readouterr() == ("", "")
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == (verbosity, bars)


def test_a_copied_folder_loads_as_the_same_model(tmp_path):
    shutil.copytree(models.WEIGHTS / "nano-opt", tmp_path / "mine")
    models.check(str(tmp_path / "mine"))
    copied = nano(str(tmp_path / "mine"))
    assert copied.family is models.builtin()["nano-opt"]
    for p, q in zip(copied.model.parameters(), nano("nano-opt").model.parameters(), strict=True):
        assert torch.equal(p, q)


def test_a_folder_without_weights_is_rejected(tmp_path):
    shutil.copytree(models.WEIGHTS / "nano-opt", tmp_path / "mine")
    (tmp_path / "mine" / "model.safetensors").unlink()
    with pytest.raises(UserError, match="cannot be read") as caught:
        nano(str(tmp_path / "mine"))
    assert "\n" not in str(caught.value)


def test_a_folder_that_lacks_some_weights_is_rejected(tmp_path):
    from safetensors.torch import load_file, save_file

    shutil.copytree(models.WEIGHTS / "nano-opt", tmp_path / "mine")
    file = tmp_path / "mine" / "model.safetensors"
    state = load_file(file)
    lost = next(key for key in state if "layers.1.fc1.weight" in key)
    del state[lost]
    save_file(state, file, metadata={"format": "pt"})
    with pytest.raises(UserError, match=re.escape("layers.1.fc1.weight")):
        nano(str(tmp_path / "mine"))


def test_an_encoder_without_a_language_model_head_takes_a_classification_head_only(tmp_path):
    shutil.copytree(models.WEIGHTS / "nano-roberta", tmp_path / "mine")
    (tmp_path / "mine" / "model.safetensors").unlink()
    size = json.loads((tmp_path / "mine" / "config.json").read_text())["vocab_size"]
    BertModel(BertConfig(**(SMALL | {"vocab_size": size}), intermediate_size=16)).save_pretrained(
        tmp_path / "mine"
    )
    with pytest.raises(UserError, match="no language-model head"):
        nano(str(tmp_path / "mine"))
    loaded = nano(str(tmp_path / "mine"), head="classification", num_labels=2)
    assert loaded.max_length == 512


def test_parts_on_disk_are_evaluated_but_get_no_gradient(tmp_path, capfd):
    whole = nano("nano-llama")
    parts = {"model.embed_tokens": "cpu", "model.rotary_emb": "cpu", "model.norm": "cpu", "lm_head": "cpu"}
    parts |= {f"model.layers.{i}": "disk" for i in range(whole.model.config.num_hidden_layers)}
    split = nano("nano-llama", device=parts, offload_folder=tmp_path)
    assert capfd.readouterr() == ("", "")
    ids = torch.tensor([[0, 5, 6, 7]])
    expected, found = (m.model(input_ids=ids, labels=ids) for m in (whole, split))
    assert torch.equal(expected.logits, found.logits)
    expected.loss.backward()
    found.loss.backward()
    reached = {key: p.grad for key, p in split.model.named_parameters() if p.grad is not None}
    assert set(reached) == {key for key, p in split.model.named_parameters() if not p.is_meta}
    assert set(reached) == {"model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"}
    for key, grad in reached.items():
        torch.testing.assert_close(grad, whole.model.get_parameter(key).grad)


def test_automatic_placement_loads_the_same_weights():
    one, two = nano("nano-opt"), nano("nano-opt", device="auto")
    if torch.cuda.is_available():
        pytest.skip("compared on a CPU")
    for p, q in zip(one.model.parameters(), two.model.parameters(), strict=True):
        assert torch.equal(p, q)
