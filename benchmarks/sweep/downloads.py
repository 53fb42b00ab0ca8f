"""Downloads that a sweep will need: models and data sets that are not in the local caches, and their sizes.

What is missing is found without a network. Sizes come from the hub, with one request per repository.
"""

import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from benchmarks import models, tasks
from benchmarks.config.spec import RunSpec
from benchmarks.data import hub_rows
from benchmarks.hub import cache
from benchmarks.models import _fetch

if TYPE_CHECKING:
    from huggingface_hub.hf_api import DatasetInfo, ModelInfo

# Seconds to wait for the answer about one repository.
TIMEOUT = 5.0
# The formats of weights, best first: transformers loads the first one that a repository has.
WEIGHTS = (
    ("model.safetensors", "model-*-of-*.safetensors", "adapter_model.safetensors"),
    ("pytorch_model.bin", "pytorch_model-*-of-*.bin", "adapter_model.bin"),
)
# Files of configurations and tokenizers.
SMALL = ("*.json", "*.txt", "*.model", "*.jinja", "*.py", "*.tiktoken")
UNITS = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
# Bytes of the wheels with models, which their pinned digests determine.
WHEEL_BYTES = {"smollm2-135m": 92_871_040, "minilm-l6": 83_506_384}


@dataclass(frozen=True)
class Missing:
    """A model or a data set that is not on this machine.

    Attributes:
        kind: what it is; a "wheel" holds a model.
        name: name of the model, or of the repository of the data set.
        config: configuration of the data set.
        revision: branch, tag, or commit; None for the main branch.
    """

    kind: Literal["model", "wheel", "dataset"]
    name: str
    config: str | None = None
    revision: str | None = None

    def __str__(self) -> str:
        pinned = f"@{self.revision}" if self.revision and self.kind == "model" else ""
        return f"{self.name}{pinned}{f' {self.config}' if self.config else ''}"


def missing_of(spec: RunSpec) -> list[Missing]:
    """Return what a run needs that is not on this machine. This uses no network."""
    found = [missing_model(spec.model)]
    hub = tasks.load(spec.task).hub
    if spec.data == "hub" and hub is not None:
        found.append(missing_data(hub, spec.data_revision))
    return [each for each in found if each is not None]


def lacks_data(spec: RunSpec) -> bool:
    """Return whether the rows of a run must be downloaded first."""
    return any(each.kind == "dataset" for each in missing_of(spec))


def until(spec: RunSpec) -> str | None:
    """Return until when the costs of a run are unknown, if its model or its rows must be downloaded first."""
    model = missing_model(spec.model)
    if model is not None:
        return f"unknown until {model} is downloaded"
    return "unknown until their data are downloaded" if lacks_data(spec) else None


def all_missing(specs: Iterable[RunSpec]) -> list[Missing]:
    """Return what some of these runs need that is not on this machine, without repetition."""
    return list(dict.fromkeys(each for spec in specs for each in missing_of(spec)))


def missing_model(name: str) -> Missing | None:
    """Return a model as missing, unless it is on this machine."""
    if name in models.builtin():
        here = (models.WEIGHTS / name).is_dir() or (_fetch.cache_folder() / name).is_dir()
        return None if here else Missing("wheel", name)
    if Path(name).expanduser().is_dir():
        return None
    repo, _, revision = name.partition("@")
    return None if _has_model(repo, revision or None) else Missing("model", repo, None, revision or None)


def _has_model(repo: str, revision: str | None) -> bool:
    """Return whether the hub's cache has a configuration and complete weights of a model."""
    from huggingface_hub import try_to_load_from_cache

    for name in ("config.json", "adapter_config.json"):
        found = try_to_load_from_cache(repo, name, revision=revision)
        if isinstance(found, str):
            break
    else:
        return False
    snapshot = Path(found).parent
    for single, _, adapter in WEIGHTS:
        if (snapshot / single).exists() or (snapshot / adapter).exists():
            return True
        index = snapshot / f"{single}.index.json"
        if index.exists():
            shards = set(json.loads(index.read_text())["weight_map"].values())
            if all((snapshot / shard).exists() for shard in shards):
                return True
    return False


def missing_data(hub: tasks.Hub, revision: str | None = None) -> Missing | None:
    """Return a data set of the hub as missing, unless loading it needs no request.

    Args:
        hub: a task's copy on the hub.
        revision: branch, tag, or commit instead of the task's; None for the task's.
    """
    repo = hub_rows.repo_of(hub, revision)
    commit = cache.commit_of(repo)
    if commit is not None and hub_rows.prepared(hub, commit) is not None:
        return None
    return Missing("dataset", repo.name, hub.config, repo.revision)


def target(missing: Missing) -> Path:
    """Return the cache folder of a download."""
    from huggingface_hub import constants

    return _fetch.cache_folder() if missing.kind == "wheel" else Path(constants.HF_HUB_CACHE)


def sizes(missing: Sequence[Missing]) -> list[int | str]:
    """Return the bytes to download for each of these, or why the size is unknown."""
    if not missing:
        return []
    with ThreadPoolExecutor(min(8, len(missing))) as threads:
        return list(threads.map(_size, missing))


def _size(missing: Missing) -> int | str:
    from huggingface_hub import HfApi, constants

    if missing.kind == "wheel":
        return WHEEL_BYTES[missing.name]
    if constants.is_offline_mode():
        return "HF_HUB_OFFLINE is set"
    ask = HfApi().model_info if missing.kind == "model" else HfApi().dataset_info
    try:
        info = ask(missing.name, revision=missing.revision, files_metadata=True, timeout=TIMEOUT)
        return _bytes(info, missing)
    # The errors of the client and of its HTTP library share no base class.
    except Exception as error:
        return _why(error)


def _why(error: Exception) -> str:
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return "access must be granted on the hub"
    if isinstance(error, errors.RepositoryNotFoundError | errors.RevisionNotFoundError):
        return "not found on the hub, or private"
    return "no network"


def _bytes(info: "ModelInfo | DatasetInfo", missing: Missing) -> int | str:
    """Return the size of the files that loading downloads, without those that the cache has."""
    from huggingface_hub import try_to_load_from_cache

    size_of = {file.rfilename: file.size or 0 for file in info.siblings}
    if missing.kind == "model":
        chosen = model_files(size_of)
    else:
        chosen = data_files(size_of, info.card_data.to_dict() if info.card_data else {}, missing.config)
        if not chosen:
            return "its files have no known layout"
    kind = "dataset" if missing.kind == "dataset" else "model"
    here = {
        name
        for name in chosen
        if isinstance(try_to_load_from_cache(missing.name, name, revision=info.sha, repo_type=kind), str)
    }
    return sum(size_of[name] for name in chosen if name not in here)


def model_files(names: Iterable[str]) -> list[str]:
    """Return the files that loading a model downloads.

    >>> model_files(["config.json", "flax_model.msgpack", "model.safetensors", "pytorch_model.bin"])
    ['config.json', 'model.safetensors']
    """
    names = [name for name in names if "/" not in name]

    def like(patterns: Sequence[str]) -> list[str]:
        return [name for name in names if any(fnmatch(name, pattern) for pattern in patterns)]

    weights = next((found for patterns in WEIGHTS if (found := like(patterns))), [])
    return like(SMALL) + weights


def data_files(names: Iterable[str], card: dict[str, Any], config: str | None) -> list[str]:
    """Return the files of one configuration of a data set; `datasets` downloads all of its splits.

    Args:
        names: all files of the repository.
        card: the metadata of its card, which lists the files of each configuration.
        config: name of the configuration; None for the only one.
    """
    names = list(names)
    listed = card.get("configs") or []
    for entry in listed:
        if entry.get("config_name") == config or (config is None and len(listed) == 1):
            patterns = _patterns(entry.get("data_files"))
            return [name for name in names if any(fnmatch(name, pattern) for pattern in patterns)]
    data = [name for name in names if name.endswith((".parquet", ".jsonl", ".json", ".csv", ".gz", ".zip"))]
    return data if config is None else [name for name in data if name.startswith(f"{config}/")]


def _patterns(data_files: Any) -> list[str]:
    """Return the patterns of a card's `data_files`, which YAML allows to be nested in several ways."""
    if isinstance(data_files, str):
        return [data_files]
    if isinstance(data_files, dict):
        return _patterns(data_files["path"] if "path" in data_files else list(data_files.values()))
    return [pattern for each in data_files or () for pattern in _patterns(each)]


def line(missing: Sequence[Missing], found: Sequence[int | str]) -> str:
    """Return the downloads in one line.

    >>> line([Missing("model", "facebook/opt-13b")], [25_706_946_560])
    'downloads: facebook/opt-13b (25.7 GB)'
    >>> line([Missing("model", "my/model"), Missing("dataset", "my/rows", "long")], ["no network"] * 2)
    'downloads: my/model, my/rows long (size unknown: no network)'
    """
    parts, unknown = [], {}
    for each, size in zip(missing, found, strict=True):
        if isinstance(size, str):
            unknown.setdefault(size, []).append(str(each))
        else:
            parts.append(f"{each} ({readable(size)})")
    parts += [f"{', '.join(names)} (size unknown: {why})" for why, names in unknown.items()]
    return f"downloads: {', '.join(parts) or 'none'}"


def readable(size: float) -> str:
    """Return a number of bytes with two or three digits.

    >>> readable(25_706_946_560), readable(4_120_000), readable(410e9), readable(312)
    ('25.7 GB', '4.1 MB', '410 GB', '0.3 kB')
    """
    unit, name = next((u for u in UNITS if size >= u[0]), UNITS[-1])
    value = size / unit
    return f"{value:.{int(value < 99.95)}f} {name}"
