"""Tests of interrupted downloads: they continue, their files are verified, and the cache is never broken."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest

from benchmarks import models, registry
from benchmarks.data.splits import load_splits
from benchmarks.errors import UserError
from benchmarks.hub import cache
from benchmarks.hub import models as hub_models
from benchmarks.hub.names import Repo, parse
from tests.hub import client, repositories

OPT = "facebook/opt-125m"
WEIGHTS = "model.safetensors"
CUT = 300_000


@pytest.fixture(autouse=True)
def no_waits(monkeypatch):
    """Let the client try again at once instead of after a second."""
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)


def ranges(server, name=WEIGHTS):
    """Return the ranges that the server was asked for, each as the first byte."""
    asked = [r.range for r in server.requests if r.path.startswith("/storage") and r.path.endswith(name)]
    return [0 if text is None else int(text.removeprefix("bytes=").partition("-")[0]) for text in asked]


def stored(name):
    return (models.WEIGHTS / "nano-opt" / name).read_bytes()


def test_a_connection_that_breaks_continues_in_the_same_process(hub):
    repositories.add_model(hub, OPT, "nano-opt")
    hub.cut[WEIGHTS] = [CUT, 1000]
    folder = hub_models.folder(parse(OPT), weights=True)
    assert (folder / WEIGHTS).read_bytes() == stored(WEIGHTS)
    assert ranges(hub) == [0, CUT, CUT + 1000]


def test_an_interrupted_download_continues_in_the_next_process(hub):
    repositories.add_model(hub, OPT, "nano-opt")
    # More often than the client tries again without a byte.
    hub.cut[WEIGHTS] = [CUT, *[0] * 8]
    with pytest.raises(
        UserError, match="ended the connection: run the same command again; the download cont"
    ):
        hub_models.folder(parse(OPT), weights=True)
    assert cache.snapshot(parse(OPT), ["*.safetensors"]) is None
    hub.cut.clear()
    hub.requests.clear()
    client.forget()
    folder = hub_models.folder(parse(OPT), weights=True)
    assert ranges(hub) == [CUT]
    assert (folder / WEIGHTS).read_bytes() == stored(WEIGHTS)
    assert not [*cache.folder().rglob("*.incomplete")]


def test_the_parquet_files_of_a_data_set_continue_too(hub):
    repositories.add_data(hub, "gsm8k")
    name = "train-00000-of-00001.parquet"
    hub.cut[name] = [500, *[0] * 8]
    size = {"train": 4, "validation": 2, "test": 2, "seed": 0}
    with pytest.raises(UserError, match=r"^data set openai/gsm8k: .* ended the connection"):
        load_splits("gsm8k", "hub", **size)
    hub.requests.clear()
    hub.cut.clear()
    client.forget()
    assert len(load_splits("gsm8k", "hub", **size).train) == 4
    assert ranges(hub, name) == [500]


def test_a_first_part_that_does_not_fit_its_rest_is_discarded(hub):
    """The file on the disk has the right length but other bytes."""
    repositories.add_model(hub, OPT, "nano-opt")
    hub_models.folder(parse(OPT), weights=False)
    blobs = cache.folder_of(Repo(OPT)) / "blobs"
    (digest,) = [d for d, data in hub.blobs.items() if data == stored(WEIGHTS)]
    (blobs / f"{digest}.incomplete").write_bytes(b"x" * CUT)
    with pytest.raises(
        UserError, match=f"has the sha256 .*, not {digest}; the file was removed: run the same"
    ):
        hub_models.folder(parse(OPT), weights=True)
    assert (hub_models.folder(parse(OPT), weights=True) / WEIGHTS).read_bytes() == stored(WEIGHTS)


def test_a_file_that_another_process_completed_is_not_downloaded_again(hub, monkeypatch):
    """The other process finishes while this one waits for the lock."""
    repositories.add_model(hub, OPT, "nano-opt")
    hub_models.folder(parse(OPT), weights=False)
    (digest,) = [d for d, data in hub.blobs.items() if data == stored(WEIGHTS)]

    class Lock:
        def __init__(self, path):
            assert path.name == f"{digest}.lock"

        def __enter__(self):
            (cache.folder_of(Repo(OPT)) / "blobs" / digest).write_bytes(stored(WEIGHTS))

        def __exit__(self, *error):
            pass

    monkeypatch.setattr("benchmarks.hub.download.FileLock", Lock)
    assert (hub_models.folder(parse(OPT), weights=True) / WEIGHTS).read_bytes() == stored(WEIGHTS)
    assert ranges(hub) == []


def size_of(file):
    """Return the size of a file; 0 if there is none yet."""
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


@pytest.mark.process
@pytest.mark.slow
def test_a_killed_process_leaves_a_cache_from_which_the_next_one_continues(hub, tmp_path):
    repositories.add_model(hub, OPT, "nano-opt")
    hub.stalls.add(WEIGHTS)
    code = f"""
        from benchmarks.hub import models
        from benchmarks.hub.names import parse
        models.folder(parse({OPT!r}), weights=True)
    """
    # See `client.use`.
    small = "import huggingface_hub.constants as c; c.DOWNLOAD_CHUNK_SIZE = 1000\n"
    process = subprocess.Popen(
        [sys.executable, "-c", small + textwrap.dedent(code)],
        cwd=registry.ROOT,
        env=client.environment(hub.url, tmp_path / "home"),
    )
    (digest,) = [d for d, data in hub.blobs.items() if data == stored(WEIGHTS)]
    part = cache.folder_of(Repo(OPT)) / "blobs" / f"{digest}.incomplete"
    while size_of(part) < CUT:
        assert process.poll() is None
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    hub.stalls.clear()
    hub.requests.clear()
    assert models.load_config(OPT).model_type == "opt"
    kept = part.stat().st_size
    folder = hub_models.folder(parse(OPT), weights=True)
    assert ranges(hub) == [kept]
    assert (folder / WEIGHTS).read_bytes() == stored(WEIGHTS)
