"""Tests of hub models, one per family: loading, pins, the cache, and the commit that was loaded."""

import json

import pytest
import torch

from benchmarks import models
from benchmarks.errors import UserError
from benchmarks.hub import models as hub_models
from benchmarks.hub.names import parse, unpinned
from tests.hub import client, repositories

OPT = "facebook/opt-125m"


def load(name):
    return models.load(name, dtype=torch.float32, device="cpu", head="lm")


def equal(one, other):
    return all(map(torch.equal, one.model.state_dict().values(), other.model.state_dict().values()))


@pytest.mark.medium
@pytest.mark.parametrize("name", repositories.MODELS)
def test_a_hub_model_equals_the_one_whose_files_the_hub_serves(name, hub, tmp_path, monkeypatch):
    commit = repositories.add_model(hub, name, repositories.MODELS[name])
    assert models.commit_of(name) is None
    loaded = load(name)
    assert models.commit_of(name) == commit
    assert equal(loaded, load(repositories.MODELS[name]))
    assert loaded.family is models.builtin()[repositories.MODELS[name]]
    hub.requests.clear()
    client.use(hub.url, tmp_path / "home", monkeypatch, offline=True)
    assert equal(load(name), loaded)
    assert hub.requests == []


def test_a_configuration_needs_no_weights(hub):
    repositories.add_model(hub, OPT, "nano-opt")
    assert models.load_config(OPT).model_type == "opt"
    assert models.load_tokenizer(OPT).tokenizer("a film").input_ids
    assert not any("safetensors" in path for path in hub.paths())


def test_a_branch_a_tag_and_a_commit_load_their_own_weights(hub, tmp_path, monkeypatch):
    first = repositories.add_model(hub, OPT, "nano-opt")
    hub.repositories["model", OPT].refs |= {"v1": first, "refs/pr/1": first}
    config = json.loads((models.WEIGHTS / "nano-opt" / "config.json").read_text())
    changed = json.dumps(config | {"dropout": 0.25}).encode()
    second = repositories.add_model(hub, OPT, "nano-opt", **{"config.json": changed})
    found = {pin: models.load_config(OPT + pin).dropout for pin in ("", f"@{first}", "@v1", "@refs/pr/1")}
    assert found == {"": 0.25} | dict.fromkeys([f"@{first}", "@v1", "@refs/pr/1"], config["dropout"])
    assert [models.commit_of(OPT + pin) for pin in ("", "@v1", f"@{second}")] == [second, first, second]
    # A commit in the cache is loaded without a request, and so is what a branch named before.
    hub.requests.clear()
    client.forget()
    repositories.add_model(hub, OPT, "nano-opt", **{"README.md": b"# Newer"})
    assert models.load_config(f"{OPT}@{first}").dropout == config["dropout"]
    assert models.commit_of(OPT) == second
    assert models.load_config(OPT).dropout == 0.25
    assert hub.requests == []


def test_the_weights_are_of_the_commit_of_the_configuration(hub):
    """The branch moves between the two downloads."""
    first = repositories.add_model(hub, OPT, "nano-opt")
    models.load_config(OPT)
    repositories.add_model(hub, OPT, "nano-opt", **{"model.safetensors": b"other weights"})
    client.forget()
    assert equal(load(OPT), load("nano-opt"))
    assert models.commit_of(OPT) == first


def test_only_the_best_format_of_the_weights_is_downloaded(hub):
    extra = dict.fromkeys(("pytorch_model.bin", "model.fp16.safetensors", "onnx/config.json"), b"unused")
    repositories.add_model(hub, OPT, "nano-opt", **extra)
    folder = hub_models.folder(parse(OPT), weights=True)
    assert {f.name for f in folder.rglob("*") if f.is_file()} == {
        "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
    }  # fmt: skip


def test_shards_that_another_program_left_incomplete_are_downloaded(hub, tmp_path):
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    shards = dict.fromkeys(index["weight_map"].values(), b"a part")
    files = {"config.json": b"{}", "model.safetensors.index.json": json.dumps(index).encode(), **shards}
    commit = hub.add("model", OPT, files)
    snapshot = tmp_path / "home/hub/models--facebook--opt-125m/snapshots" / commit
    snapshot.mkdir(parents=True)
    for name in ("config.json", "model.safetensors.index.json", "model-00001-of-00002.safetensors"):
        (snapshot / name).write_bytes(files[name])
    folder = hub_models.folder(parse(f"{OPT}@{commit}"), weights=True)
    assert {name: (folder / name).read_bytes() for name in files} == files


def test_a_hub_name_may_end_in_a_revision():
    for name in (OPT, f"{OPT}@v1", f"{OPT}@refs/pr/1", f"{OPT}@{'a' * 40}"):
        models.check(name)
    for name in ("opt-125m@v1", f"{OPT}@", "@v1", "a/b/c@v1", "nano-opt@v1"):
        with pytest.raises(UserError):
            models.check(name)
    assert str(parse(f"{OPT}@{'a' * 40}")) == f"{OPT}@aaaaaaa"


def test_the_shape_of_a_pinned_model_of_the_papers_needs_no_hub():
    assert models.shape_of("facebook/opt-13b@refs/pr/2").hidden_size == 5120
    assert unpinned("facebook/opt-13b@refs/pr/2") == "facebook/opt-13b"


def test_a_folder_with_an_at_sign_is_a_folder(tmp_path, monkeypatch):
    (tmp_path / "my").mkdir()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my" / "opt@v1").symlink_to(models.WEIGHTS / "nano-opt")
    assert models.hub_model("my/opt@v1") is None
    assert models.load_config("my/opt@v1").model_type == "opt"
