"""Downloads from the hub into its local cache. An interrupted download continues where it stopped.

huggingface_hub keeps the first part of a file only while its process lives. So large files are downloaded
here, by huggingface_hub's own function for one file, into the place where its cache expects them.
"""

import errno
import glob
import hashlib
import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from benchmarks.hub import cache
from benchmarks.hub.names import Repo

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoSibling

MB = 10**6


class Full(OSError):
    """The disk has no room for a download; `needed` is the number of missing bytes."""

    def __init__(self, folder: Path, needed: int) -> None:
        super().__init__(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
        self.needed = needed


class Damaged(OSError):
    """A downloaded file does not have the hash that the hub states; it was removed."""


def download(repo: Repo, choose: Callable[[list[str]], Sequence[str]]) -> Path:
    """Download files of a repository into the cache, and return the folder of their commit.

    Args:
        repo: the repository. The hub decides what its branch or tag stands for.
        choose: the paths of all files -> those to download.

    Raises:
        Exception: an error of huggingface_hub or of its HTTP client, `Full`, or `Damaged`.
            `benchmarks.hub.errors.in_one_sentence` states each in one sentence.
    """
    from huggingface_hub import HfApi, constants, snapshot_download, utils

    info = HfApi().repo_info(
        repo.name, repo_type=repo.kind, revision=repo.revision, files_metadata=True,
        timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT,
    )  # fmt: skip
    chosen = choose([file.rfilename for file in info.siblings])
    large = [file for file in info.siblings if file.rfilename in chosen and file.lfs is not None]
    missing = [file for file in large if not (cache.folder_of(repo) / "blobs" / file.lfs.sha256).exists()]
    if (size := sum(file.size for file in missing) / MB) >= 1:
        line = f"{repo}: downloading {size:,.0f} MB from {constants.ENDPOINT} into {cache.folder()}"
        print(line, file=sys.stderr, flush=True)
    with bars_on_terminals(utils), _without_warnings():
        for file in missing:
            # The hub serves larger files through its own protocol only, which huggingface_hub speaks.
            if file.size <= constants.MAX_HTTP_DOWNLOAD_SIZE:
                _download_file(repo.at(info.sha), file)
        return Path(
            snapshot_download(
                repo.name, repo_type=repo.kind, revision=repo.revision,
                allow_patterns=[glob.escape(name) for name in chosen],
            )
        )  # fmt: skip


def _download_file(repo: Repo, file: "RepoSibling") -> None:
    """Download a large file to its place in the cache; continue if its first part is there."""
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    target = cache.folder_of(repo) / "blobs" / file.lfs.sha256
    part = target.with_name(f"{target.name}.incomplete")
    # The lock that huggingface_hub takes for this file.
    lock = cache.folder() / ".locks" / cache.folder_of(repo).name / f"{target.name}.lock"
    for folder in (target.parent, lock.parent):
        folder.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        if target.exists():
            return
        with part.open("ab") as out:
            if out.tell() > file.size:
                out.truncate(0)
            if (needed := file.size - out.tell()) > shutil.disk_usage(part.parent).free:
                raise Full(cache.folder(), needed)
            http_get(
                hf_hub_url(repo.name, file.rfilename, repo_type=repo.kind, revision=repo.revision),
                out,
                resume_size=out.tell(),
                headers=build_hf_headers(),
                expected_size=file.size,
                displayed_filename=file.rfilename,
            )
        with part.open("rb") as read:
            digest = hashlib.file_digest(read, "sha256").hexdigest()
        if digest != file.lfs.sha256:
            part.unlink()
            raise Damaged(f"{file.rfilename} has the sha256 {digest}, not {file.lfs.sha256}")
        part.replace(target)


@contextmanager
def bars_on_terminals(library: Any) -> Iterator[None]:
    """Have a library show its progress bars on terminals only.

    Args:
        library: a module with the three functions that switch bars (huggingface_hub.utils or datasets).
    """
    if sys.stderr.isatty() or library.are_progress_bars_disabled():
        yield
        return
    library.disable_progress_bars()
    try:
        yield
    finally:
        library.enable_progress_bars()


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Have huggingface_hub log no attempt that it repeats."""
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
