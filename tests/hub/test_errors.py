"""Tests of the errors of the hub: one line that says what is wrong and what to do."""

import collections
import errno
import shutil

import pytest

from benchmarks import models
from benchmarks.data.splits import load_splits
from benchmarks.errors import UserError
from benchmarks.hub import models as hub_models
from benchmarks.hub.names import parse
from tests.hub import client, repositories
from tests.hub.server import TOKEN

OPT = "facebook/opt-125m"


@pytest.fixture(autouse=True)
def no_waits(monkeypatch):
    """Let the client try again at once instead of after a second."""
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)


def error_of_model(name=OPT):
    with pytest.raises(UserError) as caught:
        hub_models.folder(parse(name), weights=True, known=["facebook/opt-125m"])
    assert "\n" not in str(caught.value)
    return str(caught.value)


def error_of_data(name="gsm8k", **how):
    with pytest.raises(UserError) as caught:
        load_splits(name, "hub", train=4, validation=2, test=2, seed=0, **how)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def add(server, **flags):
    """Add a model and a data set with the given flags."""
    repositories.add_model(server, OPT, "nano-opt")
    repositories.add_data(server, "gsm8k")
    for repo in server.repositories.values():
        for name, value in flags.items():
            setattr(repo, name, value)


def test_a_gated_repository_without_a_token(hub):
    add(hub, gated=True)
    login = "then log in with `hf auth login` or set HF_TOKEN"
    assert error_of_model() == f"model {OPT} is gated: request access at {hub.url}/{OPT}, {login}"
    page = f"{hub.url}/datasets/openai/gsm8k"
    assert error_of_data() == f"data set openai/gsm8k is gated: request access at {page}, {login}"


def test_a_gated_repository_with_a_token_that_has_no_access(hub, monkeypatch):
    add(hub, gated=True)
    monkeypatch.setenv("HF_TOKEN", "hf_of_a_stranger")
    for error, page in ((error_of_model(), OPT), (error_of_data(), "datasets/openai/gsm8k")):
        assert (
            f"is gated, and your token has no access to it: request access at {hub.url}/{page} with" in error
        )


@pytest.mark.parametrize("flag", ["gated", "private"])
def test_a_token_with_access_reads_a_gated_and_a_private_repository(flag, hub, monkeypatch):
    add(hub, **{flag: True, "members": {TOKEN}})
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert hub_models.folder(parse(OPT), weights=True).is_dir()
    assert load_splits("gsm8k", "hub", train=4, validation=2, test=2, seed=0).train
    # The storage is on another host, which must not learn the token.
    assert hub.tokens_at_the_storage == set()


def test_a_private_repository_without_a_token_looks_like_a_missing_one(hub, monkeypatch):
    add(hub, private=True)
    for error, page in ((error_of_model(), OPT), (error_of_data(), "datasets/openai/gsm8k")):
        assert (
            f"at {hub.url}/{page}: check the spelling of owner/name (if it is private, log in with `hf"
            in error
        )
    monkeypatch.setenv("HF_TOKEN", "hf_of_a_stranger")
    assert "(if it is private, ask its owner for access with your token's account)" in error_of_model()


def test_a_misspelled_repository_gets_a_suggestion(hub):
    add(hub)
    assert "there is no model facebook/opt-125 at" in error_of_model("facebook/opt-125")
    assert "did you mean 'facebook/opt-125m'?" in error_of_model("facebok/opt-125m")


def test_an_unknown_revision(hub):
    add(hub)
    error = error_of_model(f"{OPT}@v9")
    assert error.startswith(
        f"model {OPT} has no revision 'v9': use a branch, a tag, or a commit of {hub.url}"
    )
    assert "data set openai/gsm8k has no revision 'v9'" in error_of_data(revision="v9")


def test_a_token_that_the_hub_rejects(hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_old")
    hub.status, hub.message = 401, "Invalid credentials in Authorization header"
    assert (
        "the hub rejects your token: log in with `hf auth login` or set HF_TOKEN with a" in error_of_model()
    )


@pytest.mark.parametrize(("status", "remedy"), [(429, "wait a few minutes"), (503, "try again later")])
def test_an_overloaded_hub(hub, status, remedy):
    hub.status = status
    assert f"answers with HTTP status {status}: {remedy}" in error_of_model()


def test_a_full_disk_is_noticed_before_the_download(hub, monkeypatch):
    add(hub)
    hub_models.folder(parse(OPT), weights=False)
    usage = collections.namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, 1000))
    error = error_of_model()
    assert (
        "hub is full (it needs 0.7 MB more): free some space, or set HF_HOME to a folder on a larger" in error
    )
    assert not any("storage" in path for path in hub.paths())


@pytest.mark.parametrize("where", ["model", "data"])
def test_a_disk_that_becomes_full_during_the_download(where, hub, monkeypatch):
    add(hub)

    def http_get(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("huggingface_hub.file_download.http_get", http_get)
    error = error_of_model() if where == "model" else error_of_data()
    assert (
        "home/hub is full: free some space, or set HF_HOME to a folder on a larger disk, and run the" in error
    )


@pytest.mark.parametrize("what", ["api", "model.safetensors"])
def test_a_hub_that_stalls(what, hub, monkeypatch):
    add(hub)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DOWNLOAD_TIMEOUT", 0.05)
    hub.stalls.add(what)
    error = error_of_model()
    assert f"{hub.url} sent nothing for 0.05 seconds: run the same command again; the download conti" in error
    assert error.endswith("or set HF_HUB_DOWNLOAD_TIMEOUT to more seconds")


def test_no_network(hub, tmp_path, monkeypatch):
    """Nothing listens at the address."""
    hub.shutdown()
    hub.server_close()
    where = f"cannot connect to {hub.url} (HF_ENDPOINT): check the network, or use"
    assert f"{where} a built-in model or a local folder" in error_of_model()
    assert f"{where} --data builtin or --data DIR" in error_of_data()


def test_a_server_that_is_not_a_hub(hub, tmp_path, monkeypatch):
    client.use(f"{hub.url}/mirror", tmp_path / "home", monkeypatch)
    for error in (error_of_model(), error_of_data()):
        assert f"{hub.url}/mirror does not answer like a hub: correct or unset HF_ENDPOINT" in error


def test_an_empty_cache_without_a_network(hub, tmp_path, monkeypatch):
    client.use(hub.url, tmp_path / "home", monkeypatch, offline=True)
    remedy = (
        "and HF_HUB_OFFLINE is set: unset it, download with `python -m benchmarks fetch` where there is a"
    )
    for error in (error_of_model(), error_of_data()):
        assert f"is not in the cache {tmp_path}/home/hub, {remedy}" in error
    assert hub.requests == []


def test_a_damaged_model_is_no_error_of_the_hub(hub):
    repositories.add_model(hub, OPT, "nano-opt", **{"config.json": b"{"})
    with pytest.raises(UserError, match=f"^model {OPT}: cannot be read: .*is the folder complete"):
        models.load_config(OPT)
