"""Splits of data sets on the hub, from the local cache if it has them."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.errors import UserError
from benchmarks.hub import cache
from benchmarks.hub.download import bars_on_terminals, download
from benchmarks.hub.errors import in_one_sentence
from benchmarks.hub.names import Repo
from benchmarks.tasks import Hub

if TYPE_CHECKING:
    from datasets import DatasetBuilder

# The branch in which the hub keeps every data set without its loading script.
CONVERTED = "refs/convert/parquet"
# Small files. Every repository has at least one of them.
CARDS = ("README.md", ".gitattributes")


def repo_of(hub: Hub, revision: str | None) -> Repo:
    """Return the repository of a task's data.

    Args:
        hub: the task's copy on the hub.
        revision: branch, tag, or commit instead of the task's; None for the task's.
    """
    return Repo(hub.dataset, "dataset", revision or hub.revision)


def load(
    hub: Hub, revision: str | None, known: Iterable[str] = (), *, refresh: bool = False
) -> tuple[list[Sequence[dict[str, Any]]], str]:
    """Return the training and the validation split, and the commit that they are from.

    Args:
        hub, revision: see `repo_of`.
        known: names of data sets, to suggest the closest one if there is no such data set.
        refresh: ask the hub what a branch or a tag stands for, even if the cache has a commit of it.

    Raises:
        UserError: the data set is not in the cache and cannot be downloaded, or it has no such split.
    """
    repo = repo_of(hub, revision)
    with in_one_sentence(repo, known):
        commit = None if refresh else cache.commit_of(repo)
        if commit is None:
            # Every repository has at least one of these files.
            commit = download(
                repo, lambda names: [n for n in names if n in ("README.md", ".gitattributes")]
            ).name
        found = prepared(hub, commit)
        builder = _download(repo.at(commit), hub) if found is None else _cached(hub, found)
        missing = [split for split in (hub.train, hub.validation) if split not in builder.info.splits]
        if missing:
            raise UserError(
                f"{repo.described} has no split {missing[0]!r} (it has {', '.join(builder.info.splits)}): "
                "correct train and validation of the task's Hub"
            )
        return [builder.as_dataset(split=split) for split in (hub.train, hub.validation)], commit


def prepared(hub: Hub, commit: str) -> Path | None:
    """Return the folder of a configuration's prepared tables; None if the cache does not have it."""
    from datasets import config
    from datasets.naming import camelcase_to_snakecase

    owner, slash, name = hub.dataset.rpartition("/")
    base = Path(config.HF_DATASETS_CACHE, f"{owner}{'___' if slash else ''}{camelcase_to_snakecase(name)}")
    found = {f.parts[-3]: f for f in base.glob(f"*/*/{commit}") if (f / "dataset_info.json").exists()}
    if hub.config is not None:
        return found.get(hub.config)
    return next(iter(found.values())) if len(found) == 1 else found.get("default")


def _cached(hub: Hub, prepared: Path) -> "DatasetBuilder":
    from datasets.packaged_modules.cache.cache import Cache

    name, version, commit = prepared.parts[-3:]
    return Cache(
        repo_id=hub.dataset, dataset_name=hub.dataset.rpartition("/")[2], config_name=name, version=version,
        hash=commit,
    )  # fmt: skip


def _download(repo: Repo, hub: Hub) -> "DatasetBuilder":
    """Download the files of a configuration at a commit, and prepare its tables."""
    import datasets

    try:
        builder = datasets.load_dataset_builder(hub.dataset, hub.config, revision=repo.revision)
    except RuntimeError as error:
        if "Dataset scripts are no longer supported" not in str(error):
            raise
        raise UserError(
            f"{repo.described} has a loading script, which is no longer supported: set a revision without a "
            f"script in the task's Hub, such as revision={CONVERTED!r}"
        ) from error
    prefix = f"hf://datasets/{repo.name}@{repo.revision}/"
    files = {
        str(file).removeprefix(prefix)
        for split in (builder.config.data_files or {}).values()
        for file in split
        if str(file).startswith(prefix)
    }
    # The builder would download them, too, but not continue an interrupted download.
    download(repo, lambda names: [name for name in names if name in files])
    with bars_on_terminals(datasets):
        builder.download_and_prepare()
    return builder
