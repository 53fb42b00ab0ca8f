"""Tests of checkpoint files: written from the tensors' own memory, read once, and checked cheaply."""

import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.training import archive

PROC = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
MATRIX = 32 * 2**20


def content(matrices=2):
    """Return biases of 4 KB between matrices of 32 MB."""
    tensors = {}
    for i in range(matrices):
        tensors[f"{i}.bias"] = torch.full((1024,), float(i))
        tensors[f"{i}.weight"] = torch.arange(MATRIX // 4, dtype=torch.float32) + i
    return tensors


@pytest.fixture(scope="module")
def intact(tmp_path_factory):
    path = tmp_path_factory.mktemp("archive") / "last.pt"
    archive.write(path, content())
    return path


@pytest.fixture
def file(intact, tmp_path):
    """Return a copy of the file, which the test damages."""
    path = tmp_path / "last.pt"
    path.write_bytes(intact.read_bytes())
    return path


def proc(name, key):
    """Return a number of this process from /proc: bytes read with `read`, or kB of memory."""
    lines = dict(line.split(":") for line in Path(f"/proc/self/{name}").read_text().splitlines())
    return int(lines[key].split()[0])


def overwrite(path, offset, values):
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(values)


def record(path, name):
    """Return the position of a record's header and of its values, and its size."""
    with zipfile.ZipFile(path) as opened:
        info = next(i for i in opened.infolist() if i.filename.endswith(name))
        with opened.open(info) as content:
            return info.header_offset, content._orig_compress_start, info.file_size


def test_tensors_are_written_from_where_they_are(tmp_path, monkeypatch):
    """No byte of a tensor is copied on its way to the file."""
    tensors, from_tensors, total = content(), [], []
    spans = [(t.data_ptr(), t.data_ptr() + t.nbytes) for t in tensors.values()]
    real = Path.open

    class Watched:
        def __init__(self, file):
            self.file = file

        def __getattr__(self, name):
            return getattr(self.file, name)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.file.close()

        def write(self, data):
            at = np.frombuffer(data, np.uint8).ctypes.data if len(data) else 0
            total.append(len(data))
            from_tensors.append(len(data) if any(a <= at < b for a, b in spans) else 0)
            return self.file.write(data)

    monkeypatch.setattr(Path, "open", lambda path, mode: Watched(real(path, mode)))
    archive.write(tmp_path / "last.pt", tensors)
    size = sum(t.nbytes for t in tensors.values())
    assert sum(from_tensors) == size
    assert sum(total) < size + 10_000


@PROC
@pytest.mark.parametrize("verified", [2**30, 2**16])
def test_a_file_is_read_once_and_takes_no_memory_of_its_own(intact, monkeypatch, verified):
    """Only bytes whose checksums are verified are read before they are used."""
    monkeypatch.setattr(archive, "VERIFIED_BYTES", verified)
    read, memory = proc("io", "rchar"), proc("status", "RssAnon")
    found = archive.read(intact)
    sums = {name: float(t.sum(dtype=torch.float64)) for name, t in found.items()}
    read, memory = proc("io", "rchar") - read, proc("status", "RssAnon") - memory
    assert read < min(verified, intact.stat().st_size) + 2**18
    assert 1024 * memory < MATRIX / 4
    assert sums == {name: float(t.sum(dtype=torch.float64)) for name, t in content().items()}


@pytest.mark.parametrize("verified", [2**30, 2**16])
@pytest.mark.parametrize("damage", ["cut", "half", "empty", "zeros", "header", "values", "bias"])
def test_damage_that_a_crash_leaves_is_found(file, monkeypatch, damage, verified):
    monkeypatch.setattr(archive, "VERIFIED_BYTES", verified)
    size = file.stat().st_size
    if damage in ("cut", "half", "empty"):
        with file.open("r+b") as opened:
            opened.truncate({"cut": size - 500, "half": size // 2, "empty": 0}[damage])
    elif damage == "zeros":
        overwrite(file, 0, bytes(size))
    else:
        name = {"header": "data/3", "values": "data.pkl", "bias": "data/2"}[damage]
        header, values, _ = record(file, name)
        # A block of the file system.
        at = (header if damage == "header" else values) // 4096 * 4096
        overwrite(file, at, bytes(4096))
    with pytest.raises((ValueError, OSError, zipfile.BadZipFile)):
        archive.read(file)


def test_a_changed_bit_is_found_among_the_verified_bytes(file):
    _, values, size = record(file, "data/1")
    overwrite(file, values + size // 2, b"\xff")
    with pytest.raises(zipfile.BadZipFile):
        archive.read(file)


def test_the_rename_is_durable_before_write_returns(tmp_path, monkeypatch):
    """The file that it makes superfluous is removed afterward."""
    calls = []
    for name in ("fsync", "replace"):
        real = getattr(archive.os, name)
        monkeypatch.setattr(
            archive.os, name, lambda *a, name=name, real=real: (calls.append(name), real(*a))[1]
        )
    archive.write(tmp_path / "last.pt", {"a": torch.ones(1)})
    assert calls == ["fsync", "replace", "fsync"]
