"""Tests of runs whose model and data are on the hub: their rows, and when a finished row is used again."""

import pytest

from benchmarks import models
from benchmarks.config.spec import from_dict
from benchmarks.hub import cache
from benchmarks.hub import models as hub_models
from benchmarks.hub.download import download
from benchmarks.hub.names import parse
from benchmarks.results import store
from benchmarks.sweep import scheduler
from benchmarks.sweep.worker import run_spec
from tests.hub import client, repositories

SIZES = {"train_rows": 8, "validation_rows": 4, "test_rows": 4, "steps": 1, "evaluations": 1}
RUN = {"method": "sgd", "lr": 1e-3, "fo_batch_size": 2, "data": "hub", **SIZES}
GPT2 = "openai-community/gpt2"


@pytest.fixture(autouse=True)
def runs(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "RUNS", tmp_path / "runs")


def add_gpt2(server, folder):
    """Add a tiny GPT-2, which is not among the built-in models."""
    import torch

    tokenizer = models.load_tokenizer("nano-opt").tokenizer
    torch.manual_seed(0)
    model = models.build(models.families()["gpt2"].nano(tokenizer), dtype=torch.float32)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return server.add("model", GPT2, {file.name: file.read_bytes() for file in folder.iterdir()})


def row_of(**fields):
    """Run a spec, and return its row."""
    spec = from_dict(RUN | fields)
    outcome = run_spec(spec, suite="s", folder=None, jobs=1, wandb="disabled")
    assert outcome.status == "done", outcome.reason
    return store.read_row(store.folder("s") / f"{spec.id}.json")


@pytest.mark.medium
@pytest.mark.parametrize("name", [*repositories.MODELS, GPT2])
def test_a_run_of_each_family_records_both_commits(name, hub, tmp_path):
    repositories.add_data(hub, "sst2")
    if name == GPT2:
        commit = add_gpt2(hub, tmp_path / "gpt2")
    else:
        commit = repositories.add_model(hub, name, repositories.MODELS[name])
    row = row_of(model=name, task="sst2")
    data = hub.repositories["dataset", "nyu-mll/glue"].refs["main"]
    assert (row["model_commit"], row["data_commit"]) == (commit, data)
    asked = len(hub.requests)
    again = row_of(model=name, task="sst2", seed=1)
    assert (again["model_commit"], len(hub.requests)) == (commit, asked)


def test_a_process_stays_with_the_commit_that_it_loaded(hub):
    """Another process fetches a newer commit during the run."""
    name = "facebook/opt-125m"
    first = repositories.add_model(hub, name, "nano-opt")
    models.load_config(name)
    second = repositories.add_model(hub, name, "nano-opt", **{"README.md": b"# Newer"})
    download(parse(name), lambda names: [n for n in names if n.endswith(".json")])
    assert cache.commit_of(parse(name)) == second
    assert (models.commit_of(name), models.source(name, weights=True)[-40:]) == (first, first)


def test_rows_of_built_in_models_and_data_have_no_commits():
    row = row_of(model="nano-opt", task="sst2", data="builtin")
    assert (row["model_commit"], row["data_commit"]) == (None, None)


@pytest.mark.medium
def test_a_finished_row_is_used_again_until_another_commit_is_in_the_cache(hub, tmp_path, monkeypatch):
    """The cache decides what an unpinned name stands for. A pinned row stays."""
    name = "facebook/opt-125m"
    repositories.add_data(hub, "sst2")
    first = repositories.add_model(hub, name, "nano-opt")
    specs = [from_dict(RUN | {"model": model, "task": "sst2"}) for model in (name, f"{name}@{first}")]
    for spec in specs:
        row_of(model=spec.model, task="sst2")
    second = repositories.add_model(hub, name, "nano-opt", **{"README.md": b"# Newer"})
    client.forget()
    assert scheduler.pending("s", specs, None).todo == []
    hub_models.folder(parse(name), weights=True, refresh=True)
    assert models.commit_of(name) == second
    split = scheduler.pending("s", specs, None)
    assert (split.todo, split.finished, split.outdated) == (specs[:1], specs[1:], 1)
    # Without the model, which commit would be loaded is unknown.
    client.use(hub.url, tmp_path / "home", monkeypatch, offline=True)
    monkeypatch.setattr(models, "commit_of", lambda name: None)
    assert scheduler.pending("s", specs, None).todo == []


@pytest.mark.medium
def test_a_revision_of_the_data_is_recorded_and_read(hub):
    repositories.add_data(hub, "sst5")
    repo = hub.repositories["dataset", "SetFit/sst5"]
    repo.refs["v1"] = repo.refs["main"]
    hub.add("dataset", "SetFit/sst5", {"README.md": b"# Empty\n"})
    row = row_of(model="nano-opt", task="sst5", data_revision="v1", head="classification")
    assert row["data_commit"] == repo.refs["v1"]
    assert row["config"]["data_revision"] == "v1"
