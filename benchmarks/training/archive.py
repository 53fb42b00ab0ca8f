"""Files of a checkpoint: written atomically, checked cheaply, and mapped into memory when they are read."""

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.utils.serialization import config

# Bytes whose checksums are verified when a file is read; this takes about a second.
VERIFIED_BYTES = 2**30


def write(target: Path, content: Mapping[str, Any]) -> None:
    """Replace a file atomically: completely, or not at all, also if the machine crashes.

    Tensors in host memory are written from where they are. Tensors on a GPU pass through a pinned buffer,
    one at a time.

    Args:
        target: the file.
        content: tensors, numbers, text, and lists and dicts of them.
    """
    part = _part_of(target)
    try:
        with part.open("wb") as file, config.patch({"save.use_pinned_memory_for_d2h": True}):
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, target)
        _sync_folder(target.parent)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def read(path: Path) -> Any:
    """Return the content of a file. Its tensors are mapped, so their bytes are read when they are used.

    A mapped tensor takes no memory that the system cannot reclaim. Copy it, and drop it: the file keeps its
    space on the disk until then, even if it is removed.

    Raises:
        ValueError, OSError, zipfile.BadZipFile: the file is damaged.
    """
    _verify(path)
    return torch.load(path, map_location="cpu", weights_only=True, mmap=True)


def remove_parts(folder: Path) -> None:
    """Remove what a killed process had not finished writing."""
    for part in folder.glob(_part_of(folder / "*.pt").name):
        part.unlink()


def _verify(path: Path) -> None:
    """Raise an error if a file is damaged.

    A file gets its name after `fsync`, so after a crash it is complete, unless the disk lost bytes that it
    had confirmed, or somebody copied a part of it. Such a loss takes the end of the file, where its directory
    is, or whole blocks. Therefore the header of every record is compared with the directory, and checksums
    are verified from the smallest record up to `VERIFIED_BYTES` in total. This covers a smaller file
    completely. In a larger one, it covers the values that are not tensors, and the biases and norms of all
    layers, but a changed bit in a large matrix is not found.
    """
    left = VERIFIED_BYTES
    with zipfile.ZipFile(path) as archive:
        for record in sorted(archive.infolist(), key=lambda record: record.file_size):
            left -= record.file_size
            # Opening a record compares its header; reading its end compares its checksum.
            with archive.open(record) as content:
                while left >= 0 and content.read(2**20):
                    pass


def _part_of(target: Path) -> Path:
    return target.with_name(f".{target.name}.part")


def _sync_folder(folder: Path) -> None:
    """Make a rename durable, before the file that it makes superfluous is removed."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
