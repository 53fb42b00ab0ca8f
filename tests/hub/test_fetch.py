"""Tests of `fetch`: models, data, and suites, after which runs need no network."""

import itertools

import pytest

from benchmarks import models, suites
from benchmarks.cli import fetch, main
from benchmarks.config.spec import from_dict
from benchmarks.data.splits import load_splits
from tests.hub import client, repositories

OPT = "facebook/opt-125m"
RUN = {"method": "sgd", "lr": 1e-3, "steps": 1, "data": "hub"}


def lines(capsys):
    captured = capsys.readouterr()
    return captured.out.splitlines(), captured.err.splitlines()


def fill(server):
    repositories.add_data(server, "gsm8k", "sst5")
    server.repositories["dataset", "SetFit/sst5"].refs["v2"] = server.repositories[
        "dataset", "SetFit/sst5"
    ].refs["main"]
    commit = repositories.add_model(server, OPT, "nano-opt")
    server.repositories["model", OPT].refs["v1"] = commit
    return commit


@pytest.mark.medium
def test_models_and_data_are_fetched_and_the_lines_name_commits_sizes_and_folders(
    hub, tmp_path, monkeypatch, capsys
):
    commit = fill(hub)
    assert main(["fetch", f"{OPT}@v1", "gsm8k", "nano-opt"]) == 0
    (model, data, nano), errors = lines(capsys)
    home = tmp_path / "home"
    assert errors == []
    folder = f"{home}/hub/models--facebook--opt-125m/snapshots/{commit}"
    assert model == f"{OPT}@v1, commit {commit[:7]}: 0.7 MB in {folder}"
    of_data = hub.repositories["dataset", "openai/gsm8k"].refs["main"]
    assert data.startswith(
        f"openai/gsm8k (main), commit {of_data[:7]}: 0.0 MB in {home}/datasets/openai___gsm8k"
    )
    assert nano == f"nano-opt: 0.7 MB in {models.WEIGHTS}/nano-opt"
    client.use(hub.url, home, monkeypatch, offline=True)
    assert models.load_config(f"{OPT}@v1").model_type == "opt"
    assert load_splits("gsm8k", "hub", train=4, validation=2, test=2, seed=0).train


@pytest.mark.medium
def test_a_suite_is_fetched_with_all_its_models_and_data(hub, monkeypatch, capsys):
    fill(hub)
    pairs = itertools.product((f"{OPT}@v1", "nano-opt"), ("gsm8k", "sst5"))
    specs = [from_dict(RUN | {"model": model, "task": task}) for model, task in pairs]
    monkeypatch.setattr(suites, "load", lambda name: specs)
    monkeypatch.setattr(suites, "data", lambda name: None)
    assert main(["fetch", "quick"]) == 0
    names = [line.partition(",")[0].partition(":")[0] for line in lines(capsys)[0]]
    assert names == [f"{OPT}@v1", "openai/gsm8k (main)", "SetFit/sst5", "nano-opt"]


def test_fetch_asks_for_the_newest_commit_and_later_runs_use_it(hub, capsys):
    fill(hub)
    assert main(["fetch", OPT]) == 0
    newer = repositories.add_model(hub, OPT, "nano-opt", **{"README.md": b"# Newer"})
    client.forget()
    models.load_config(OPT)
    assert models.commit_of(OPT) != newer
    assert main(["fetch", OPT]) == 0
    assert f"commit {newer[:7]}" in lines(capsys)[0][-1]
    assert models.commit_of(OPT) == newer


def test_a_revision_of_the_data_is_fetched(hub, tmp_path, monkeypatch, capsys):
    fill(hub)
    assert main(["fetch", "sst5", "--data-revision", "v2"]) == 0
    client.use(hub.url, tmp_path / "home", monkeypatch, offline=True)
    size = {"train": 4, "validation": 2, "test": 2, "seed": 0}
    assert load_splits("sst5", "hub", **size, revision="v2").train


def test_the_parts_of_a_suite_of_a_paper_are_its_models_and_data():
    parts = {*fetch.parts_of("mezo-roberta")}
    assert fetch.Model("FacebookAI/roberta-large") in parts or fetch.Model("roberta-large") in parts
    assert fetch.Data("snli", None) in parts
    assert not [part for part in fetch.parts_of("mezo-roberta-tiny") if isinstance(part, fetch.Data)]


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["gsm8q"], "unknown name to fetch 'gsm8q': did you mean 'gsm8k'?"),
        (["facebook/opt-125n"], "did you mean 'facebook/opt-125m'?"),
        (["boolq-long"], "task boolq-long has no copy on the hub: there is nothing to download"),
        (
            ["rte", "gsm8k", "--data-revision", "v1"],
            "exactly one data set, not 2 (aps/super_glue, openai/gsm8k)",
        ),
        (["nano-opt", "--data-revision", "v1"], "exactly one data set, not 0 (none)"),
    ],
)
def test_names_that_cannot_be_fetched(words, error, hub, capsys):
    assert main(["fetch", *words]) == 2
    out, err = lines(capsys)
    assert (out, len(err)) == ([], 1)
    assert error in err[0]


def test_fetch_needs_a_network(hub, tmp_path, monkeypatch, capsys):
    client.use(hub.url, tmp_path / "home", monkeypatch, offline=True)
    assert main(["fetch", OPT]) == 2
    assert lines(capsys)[1] == [
        "error: HF_HUB_OFFLINE is set, and fetch asks the hub for the newest commits: unset it"
    ]
