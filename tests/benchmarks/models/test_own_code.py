"""Tests of models whose folder contains their code: it runs, and counts, only if the user trusts it."""

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from benchmarks import models, tasks
from benchmarks.config import fingerprint
from benchmarks.config.fingerprint import source_fingerprint
from benchmarks.config.identity import identifying
from benchmarks.config.spec import from_dict
from benchmarks.errors import UserError
from benchmarks.evaluation.scoring import Scorer
from benchmarks.models import _generic, _trainable
from benchmarks.training import run as train
from tests.benchmarks.evaluation.naive_scores import encode, naive_loss, naive_scores, rows_of
from tests.benchmarks.models.model_folders import save_own_code, save_small
from tests.benchmarks.training.predictions import predicted

SIZES = {"lr": 1e-3, "steps": 1, "evaluations": 1, "train_rows": 12, "validation_rows": 4, "test_rows": 4}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return a model folder with code; transformers copies its code to a temporary folder."""
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.syspath_prepend(tmp_path / "modules")
    return save_own_code(tmp_path / "mine")


def load(folder, **changes):
    given = {"dtype": torch.float64, "device": "cpu", "head": "lm", "trust_remote_code": True} | changes
    return models.load(folder, **given)


def spec(folder, **changes):
    return from_dict({"method": "addax", "model": folder, "task": "sst2", **SIZES, **changes})


def forget():
    fingerprint._fingerprint.cache_clear()
    fingerprint._digest.cache_clear()


def test_a_trusted_model_scores_like_its_own_forward_pass(folder):
    loaded, task = load(folder), tasks.load("sst2")
    assert (loaded.family.name, loaded.family.masked, loaded.family.heads) == ("mine", False, ("lm",))
    assert (type(loaded.model).__name__, loaded.max_length) == ("MineForCausalLM", 60)
    rows = rows_of(task)
    examples, scorer = encode(rows, task, loaded, "lm"), Scorer(loaded, task)
    for row, scores in zip(rows, scorer.candidate_scores(examples), strict=True):
        assert scores.tolist() == pytest.approx(naive_scores(loaded, task, row), abs=1e-10)
    assert scorer.loss(examples).item() == pytest.approx(naive_loss(loaded, task, rows), abs=1e-10)


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        ("wte.weight", r"weights are missing: wte.weight \(1 in all\)"),
        ("lm_head.weight", "no language-model head"),
    ],
)
def test_a_model_without_a_module_for_its_body_must_have_all_weights(folder, lost, message):
    file = Path(folder) / "model.safetensors"
    state = load_file(file)
    del state[lost]
    save_file(state, file, metadata={"format": "pt"})
    with pytest.raises(UserError, match=message):
        load(folder)


@pytest.mark.parametrize("trainable", ["all", "lora:2", "last:1"])
def test_a_trusted_model_trains_in_the_predicted_memory(folder, trainable):
    one = spec(folder, trust_remote_code=True, trainable=trainable)
    row = train.run(one, train.load(one, None), suite="test")
    assert (row["status"], row["config"]["trust_remote_code"]) == ("done", True)
    assert predicted(row).peak_bytes == pytest.approx(row["peak_bytes"], rel=5e-3)


def test_a_fused_projection_of_a_trusted_model_takes_adapters(folder):
    model = load(folder).model
    _trainable.select(model, "lora:2")
    assert {n.split(".")[2] for n, p in model.named_parameters() if p.requires_grad} == {"Wqkv"}


@pytest.mark.parametrize(
    "call", [models.check, models.load_config, models.load_tokenizer, models.shape_of, spec]
)
def test_code_does_not_run_without_trust(folder, call, tmp_path):
    with pytest.raises(
        UserError, match=r"needs Python code from its repository.*--trust-remote-code"
    ) as caught:
        call(folder)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "modules").exists()


def test_a_tokenizer_with_code_asks_for_trust(tmp_path):
    """transformers maps no class of tokenizers to Bloom."""
    save_small(tmp_path, "bloom", "causal")
    (tmp_path / "tokenizer.json").unlink()
    values = {"auto_map": {"AutoTokenizer": ["tokenization_mine.MineTokenizer", None]}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(values))
    with pytest.raises(UserError, match=r"needs Python code from its repository.*--trust-remote-code"):
        models.load_tokenizer(str(tmp_path))


def test_the_code_of_a_trusted_model_is_part_of_its_fingerprint(folder):
    """The content of a helper counts, even if its size and time stay the same; a comment does not."""
    one, seen = spec(folder, trust_remote_code=True), []
    helper = Path(folder) / "layers_mine.py"
    stat = helper.stat()

    def look(text):
        helper.write_text(text)
        os.utime(helper, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        forget()
        seen.append(source_fingerprint(one))

    text = helper.read_text()
    look(f"{text}# one\n")
    look(text.replace("** 0.5", "** 0.6") + "# one\n")
    look(f"{text}# two\n")
    assert seen[0] == seen[2] != seen[1]


def test_the_code_of_a_loaded_configuration_includes_what_it_imports(folder):
    """A hub model has no folder, so its code is found from its configuration."""
    config = models.load_config(folder, True)
    names = [file.name for file in _generic.code_files(config)]
    assert {"configuration_mine.py", "layers_mine.py", "modeling_mine.py"} <= set(names)
    assert _generic.code_files(models.load_config("nano-opt")) == []


def test_trust_changes_a_run_but_not_the_identity_of_runs_without_it(folder):
    plain = from_dict({"method": "addax", "model": "owner/name", "task": "sst2", **SIZES})
    assert plain.replace(trust_remote_code=True).id != plain.id
    assert "trust_remote_code" not in identifying(plain.config())


def test_trust_in_a_model_without_code_has_no_effect():
    with pytest.raises(
        UserError, match="trust_remote_code=True has no effect: nano-opt has no code of its own"
    ):
        spec("nano-opt", trust_remote_code=True)
