"""Tests of `--data hub`: every data set, from a local server to encoded examples, and its pins."""

import dataclasses

import pytest

from benchmarks import models, tasks
from benchmarks.data import hub_rows
from benchmarks.data.example import checked_examples
from benchmarks.data.splits import load_splits
from benchmarks.data.tokenize import encode
from benchmarks.errors import UserError
from tests.hub import client, repositories
from tests.hub.server import running

SIZES = {"train": 8, "validation": 4, "test": 6, "seed": 0}


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """Serve every data set of the suite; return the server and the folder of a cache that tests share."""
    with running() as server:
        repositories.add_data(server)
        yield server, tmp_path_factory.mktemp("home")


def keys(task, split):
    """Return the keys of the examples that the raw rows of a split stand for."""
    return {
        example.key
        for raw in repositories.raw_rows(task.name, split)
        for example in checked_examples(task, "from_hub", task.from_hub, raw)
    }


@pytest.mark.medium
@pytest.mark.parametrize("name", repositories.hub_tasks())
def test_a_data_set_is_downloaded_encoded_and_then_read_without_the_hub(name, shelf, monkeypatch):
    server, home = shelf
    client.use(server.url, home, monkeypatch)
    task = tasks.load(name)
    drawn = load_splits(name, "hub", **SIZES)
    (ref,) = [commit for ref, commit in server.repositories["dataset", task.hub.dataset].refs.items()
              if ref == (task.hub.revision or "main")]  # fmt: skip
    assert drawn.commit == ref
    assert {e.key for e in (*drawn.train, *drawn.validation)} <= keys(task, "train")
    assert {e.key for e in drawn.test} <= keys(task, "validation")
    assert (len(drawn.train), len(drawn.validation), len(drawn.test)) == (8, 4, 6)
    # The vocabulary of the nano models does not have the names of TREC's classes.
    head = "classification" if name == "trec" else "lm"
    assert len(encode(drawn.train, task, models.load_tokenizer("nano-llama"), head)) == 8
    server.requests.clear()
    client.use(server.url, home, monkeypatch, offline=True)
    assert load_splits(name, "hub", **SIZES) == drawn
    assert server.requests == []


def test_the_slashes_of_a_branch_are_quoted_in_requests(shelf, tmp_path, monkeypatch):
    client.use(shelf[0].url, tmp_path, monkeypatch)
    load_splits("trec", "hub", **SIZES)
    assert any("/api/datasets/CogComp/trec/revision/refs%2Fconvert%2Fparquet" in p for p in shelf[0].paths())


def test_a_data_set_with_a_script_is_an_error_that_names_the_remedy(shelf, tmp_path, monkeypatch):
    client.use(shelf[0].url, tmp_path, monkeypatch)
    message = r"^data set CogComp/trec@\w{7} has a loading script.*revision='refs/convert/parquet'$"
    with pytest.raises(UserError, match=message):
        load_splits("trec", "hub", **SIZES, revision="main")


def test_a_missing_split_is_named(shelf, tmp_path, monkeypatch):
    client.use(shelf[0].url, tmp_path, monkeypatch)
    hub = dataclasses.replace(tasks.load("sst5").hub, validation="dev")
    with pytest.raises(
        UserError, match=r"^data set SetFit/sst5 has no split 'dev' \(it has train, validation"
    ):
        hub_rows.load(hub, None)


def test_a_revision_selects_its_rows_and_stays_what_it_was(hub, tmp_path, monkeypatch):
    """A tag, a branch, and a commit name rows; a branch that moves is asked for once."""
    repositories.add_data(hub, "sst5")
    first = hub.repositories["dataset", "SetFit/sst5"].refs["main"]
    hub.repositories["dataset", "SetFit/sst5"].refs["v1"] = first
    before = load_splits("sst5", "hub", **SIZES)
    files = hub.repositories["dataset", "SetFit/sst5"].commits[first]
    changed = {path: data.replace(b"tender", b"tired") for path, data in files.items()}
    second = hub.add("dataset", "SetFit/sst5", changed)
    client.forget()
    assert load_splits("sst5", "hub", **SIZES) == before
    assert before.commit == first
    for revision in (second, "main"):
        hub_rows.load(tasks.load("sst5").hub, revision, refresh=True)
        client.forget()
        after = load_splits("sst5", "hub", **SIZES, revision=revision)
        assert after.commit == second
        assert "tired" in str(after)
        assert after.fingerprint != before.fingerprint
    # With several commits in the cache, a pin still reads its own.
    client.use(hub.url, tmp_path / "home", monkeypatch, offline=True)
    assert load_splits("sst5", "hub", **SIZES, revision=first) == before
    assert load_splits("sst5", "hub", **SIZES, revision=second) == after
