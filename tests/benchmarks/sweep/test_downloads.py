"""Tests of the downloads that a sweep will need: what is missing, and how large it is."""

import json
from types import SimpleNamespace

import datasets
import huggingface_hub
import pytest
from huggingface_hub import constants, errors

from benchmarks import tasks
from benchmarks.models import _fetch
from benchmarks.sweep import downloads
from benchmarks.sweep.downloads import Missing
from tests.benchmarks.training.tiny_runs import tiny

COMMIT, OTHER = "a" * 40, "b" * 40
HUB = tasks.Hub("owner/MyRows", "long")


@pytest.fixture
def caches(tmp_path, monkeypatch):
    """Empty caches of the hub, of data sets, and of wheels; the hub may be asked."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    monkeypatch.setenv("ADDAX_CACHE", str(tmp_path / "wheels"))
    return tmp_path


def fill(caches, repo, *files, commit=COMMIT, branch="main", **contents):
    """Write files of a model to the cache of the hub."""
    base = caches / "hub" / f"models--{repo.replace('/', '--')}"
    (base / "refs").mkdir(parents=True, exist_ok=True)
    (base / "refs" / branch).write_text(commit)
    snapshot = base / "snapshots" / commit
    snapshot.mkdir(parents=True, exist_ok=True)
    for name in files:
        (snapshot / name).write_text(contents.get(name.split(".")[0], "{}"))


def answer(monkeypatch, kind, files, card=None, sha=COMMIT):
    """Have the hub answer with these files and sizes; return the questions."""
    asked = []

    def info(self, name, **options):
        asked.append((name, options))
        if isinstance(files, Exception):
            raise files
        siblings = [SimpleNamespace(rfilename=file, size=size) for file, size in files.items()]
        metadata = None if card is None else SimpleNamespace(to_dict=lambda: card)
        return SimpleNamespace(siblings=siblings, sha=sha, card_data=metadata)

    monkeypatch.setattr(huggingface_hub.HfApi, f"{kind}_info", info)
    return asked


SHARDS = json.dumps({"weight_map": {"a": "model-1-of-2.safetensors", "b": "model-2-of-2.safetensors"}})
INDEX = "model.safetensors.index.json"


@pytest.mark.parametrize(
    ("files", "here"),
    [
        ((), False),
        (("config.json",), False),
        (("model.safetensors",), False),
        (("config.json", "model.safetensors"), True),
        (("config.json", "pytorch_model.bin"), True),
        (("config.json", INDEX, "model-1-of-2.safetensors"), False),
        (("config.json", INDEX, "model-1-of-2.safetensors", "model-2-of-2.safetensors"), True),
        (("adapter_config.json", "adapter_model.safetensors"), True),
    ],
)
def test_a_hub_model_is_here_with_its_configuration_and_all_its_weights(caches, files, here):
    fill(caches, "owner/name", *files, model=SHARDS)
    assert (downloads.missing_model("owner/name") is None) is here
    # Another revision is another download.
    assert downloads.missing_model("owner/name@v2") == Missing("model", "owner/name", None, "v2")


def test_a_pinned_revision_is_found_by_its_branch_and_by_its_commit(caches):
    fill(caches, "owner/name", "config.json", "model.safetensors", branch="v2")
    assert downloads.missing_model("owner/name@v2") is downloads.missing_model(f"owner/name@{COMMIT}") is None
    assert str(downloads.missing_model(f"owner/name@{OTHER}")) == f"owner/name@{OTHER}"


def test_models_of_the_repository_and_folders_are_here_and_wheels_are_not(caches):
    assert downloads.missing_model("nano-opt") is None
    assert downloads.missing_model(str(caches)) is None
    for name in _fetch.WHEELS:
        assert downloads.missing_model(name) == Missing("wheel", name)
        assert downloads.sizes([Missing("wheel", name)]) == [downloads.WHEEL_BYTES[name]]
        (caches / "wheels" / name).mkdir(parents=True)
        assert downloads.missing_model(name) is None
    assert downloads.WHEEL_BYTES.keys() == _fetch.WHEELS.keys()


def test_a_data_set_is_here_if_its_configuration_has_been_prepared_from_the_commit(caches):
    """The cache of the hub names the commit of a revision, and the cache of `datasets` has its tables."""
    assert downloads.missing_data(HUB) == Missing("dataset", "owner/MyRows", "long", None)
    hub = caches / "hub" / "datasets--owner--MyRows"
    (hub / "refs").mkdir(parents=True)
    (hub / "refs" / "main").write_text(COMMIT)
    (hub / "snapshots" / COMMIT).mkdir(parents=True)
    base = caches / "datasets" / "owner___my_rows"
    for config, commit, here in (("short", COMMIT, False), ("long", OTHER, False), ("long", COMMIT, True)):
        prepared = base / config / "0.0.0" / commit
        prepared.mkdir(parents=True)
        # An interrupted preparation leaves a folder without this file.
        assert downloads.missing_data(HUB) is not None
        (prepared / "dataset_info.json").write_text("{}")
        assert (downloads.missing_data(HUB) is None) is here
    assert downloads.missing_data(HUB, COMMIT) is None
    assert downloads.missing_data(HUB, "v2") == Missing("dataset", "owner/MyRows", "long", "v2")


def test_a_run_needs_its_model_and_its_hub_rows_once(caches):
    spec = tiny("mezo").replace(model="facebook/opt-13b", data="hub")
    model, data = downloads.missing_of(spec)
    assert (str(model), str(data)) == ("facebook/opt-13b", "nyu-mll/glue sst2")
    assert downloads.all_missing([spec, spec.replace(seed=3)]) == [model, data]
    assert downloads.until(spec) == "unknown until facebook/opt-13b is downloaded"
    here = spec.replace(model="nano-opt")
    assert downloads.lacks_data(here) is True
    assert downloads.until(here) == "unknown until their data are downloaded"
    assert downloads.until(tiny("mezo")) is None


def test_the_size_of_a_model_counts_the_files_that_loading_downloads(caches, monkeypatch):
    files = {
        "config.json": 1, "tokenizer.json": 20, "merges.txt": 300, "README.md": 4_000, "flax_model.mp": 5,
        "pytorch_model.bin": 50_000, "model.safetensors": 600_000, "onnx/model.safetensors": 7_000_000,
    }  # fmt: skip
    asked = answer(monkeypatch, "model", files)
    missing = Missing("model", "owner/name", None, "v2")
    assert downloads.sizes([missing]) == [600_321]
    options = {"revision": "v2", "files_metadata": True, "timeout": downloads.TIMEOUT}
    assert asked == [("owner/name", options)]
    # What an interrupted download has left counts no more, unless it is of another commit.
    fill(caches, "owner/name", "config.json", "tokenizer.json")
    assert downloads.sizes([missing]) == [600_300]
    answer(monkeypatch, "model", files, sha=OTHER)
    assert downloads.sizes([missing]) == [600_321]
    del files["model.safetensors"]
    assert downloads.sizes([missing]) == [50_321]


LISTED = {"configs": [{"config_name": "long", "data_files": [{"split": "train", "path": "long/*.parquet"}]}]}


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        (LISTED, ["long/a.parquet", "long/b.parquet"]),
        ({"configs": [{"config_name": "long", "data_files": "long/a.*"}]}, ["long/a.parquet"]),
        ({"configs": [{"config_name": "long", "data_files": {"train": ["long/b.*"]}}]}, ["long/b.parquet"]),
        ({}, ["long/a.parquet", "long/b.parquet"]),
    ],
)
def test_the_size_of_a_data_set_counts_one_configuration(caches, monkeypatch, card, expected):
    files = {"README.md": 1, "long/a.parquet": 20, "long/b.parquet": 300, "short/a.parquet": 4_000}
    answer(monkeypatch, "dataset", files, card)
    missing = Missing("dataset", "owner/rows", "long")
    assert downloads.sizes([missing]) == [sum(files[name] for name in expected)]
    assert downloads.data_files(files, {}, None) == [*files][1:]


RESPONSE = SimpleNamespace(headers={}, request=None)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError("no route to host"), "no network"),
        (errors.RepositoryNotFoundError("404", response=RESPONSE), "not found on the hub, or private"),
        (errors.GatedRepoError("403", response=RESPONSE), "access must be granted on the hub"),
    ],
)
def test_a_size_that_the_hub_does_not_tell_is_unknown_with_its_reason(caches, monkeypatch, error, reason):
    answer(monkeypatch, "model", error)
    assert downloads.sizes([Missing("model", "owner/name")]) == [reason]


def test_nothing_is_asked_offline(caches, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    asked = answer(monkeypatch, "model", {"config.json": 1})
    assert downloads.sizes([Missing("model", "owner/name")]) == ["HF_HUB_OFFLINE is set"]
    assert asked == []
