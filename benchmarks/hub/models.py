"""Folders of hub models in the local cache, downloaded if they are missing."""

import json
from collections.abc import Iterable
from fnmatch import fnmatch
from functools import lru_cache
from pathlib import Path

from benchmarks.hub import cache
from benchmarks.hub.download import download
from benchmarks.hub.errors import in_one_sentence
from benchmarks.hub.names import Repo

# Configuration, tokenizer, and code, all at the top level of a repository.
SMALL = ("*.json", "*.txt", "*.model", "*.jinja", "*.py", "*.tiktoken")
# A model or an adapter has one of them.
CONFIGS = ("config.json", "adapter_config.json")
# The formats of weights, best first. A repository may have a model in several.
WEIGHTS = (
    ("model.safetensors", "model-*-of-*.safetensors", "adapter_model.safetensors"),
    ("pytorch_model.bin", "pytorch_model-*-of-*.bin", "adapter_model.bin"),
)


def folder(repo: Repo, *, weights: bool, known: Iterable[str] = (), refresh: bool = False) -> Path:
    """Return the folder of a model's commit, in the layout of transformers.

    The commit of a repository's revision stays the same within a process.

    Args:
        repo: the model.
        weights: whether the folder must have the weights; without them, it has the configuration and the
            tokenizer.
        known: names of models, to suggest the closest one if there is no such model.
        refresh: ask the hub what a branch or a tag stands for, even if the cache has a commit of it.

    Raises:
        UserError: the files are not in the cache and cannot be downloaded.
    """
    with in_one_sentence(repo, known):
        if refresh:
            _folder.cache_clear()
            download(repo, _small)
        found = _folder(repo, False, cache.folder())
        return _folder(repo.at(found.name), True, cache.folder()) if weights else found


@lru_cache(maxsize=256)
def _folder(repo: Repo, weights: bool, where: Path) -> Path:
    return _cached(repo, weights) or download(repo, _weights if weights else _small)


def commit_of(repo: Repo) -> str | None:
    """Return the commit of a model that `folder` returns without a request; None if it needs one."""
    return None if _cached(repo, weights=False) is None else folder(repo, weights=False).name


def _cached(repo: Repo, weights: bool) -> Path | None:
    """Return the folder of a commit if the cache has its files."""
    if not weights:
        found = cache.snapshot(repo, SMALL)
        return found if found is not None and any((found / name).exists() for name in CONFIGS) else None
    for patterns in WEIGHTS:
        found = cache.snapshot(repo, (*SMALL, *patterns))
        if found is not None and _complete(found, patterns):
            return found
    return None


def _matching(names: Iterable[str], patterns: Iterable[str]) -> list[str]:
    return [name for name in names if "/" not in name and any(fnmatch(name, p) for p in patterns)]


def _small(names: list[str]) -> list[str]:
    return _matching(names, SMALL)


def _weights(names: list[str]) -> list[str]:
    """Return the small files and the weights in the best format."""
    found = next((files for patterns in WEIGHTS if (files := _matching(names, patterns))), [])
    return _matching(names, SMALL) + found


def _complete(folder: Path, patterns: Iterable[str]) -> bool:
    names = _matching((file.name for file in folder.iterdir()), patterns)
    index = folder / f"{next(iter(patterns))}.index.json"
    # Other programs fill the cache, too, and they need not have finished.
    if index.exists() and next(iter(patterns)) not in names:
        return {*json.loads(index.read_text())["weight_map"].values()} <= {*names}
    return bool(names)
