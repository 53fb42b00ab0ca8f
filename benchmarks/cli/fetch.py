"""Download models and data, so that later runs need no network.

A name is a built-in model, a model on the hub (owner/name, or owner/name@REVISION), a task, whose data is
downloaded from the hub, or a suite: all its models, and its data if it reads the hub. An interrupted download
continues. For a branch or a tag, the newest commit is fetched, and later runs use it. They need no network if
HF_HUB_OFFLINE=1 is set.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import models, registry, suites, tasks
from benchmarks.cli.parser import Parser
from benchmarks.errors import UserError, unknown


@dataclass(frozen=True)
class Model:
    """A model to download."""

    name: str


@dataclass(frozen=True)
class Data:
    """The data of a task to download, at a revision or, with None, at the task's."""

    task: str
    revision: str | None


def add_arguments(command: Parser, argv: Sequence[str]) -> None:
    """Add the names, and the revision of the data."""
    command.add_argument(
        "names", nargs="+", metavar="NAME",
        help="built-in model, hub model (owner/name[@REVISION]), task, or suite",
    )  # fmt: skip
    command.add_argument(
        "--data-revision", metavar="REVISION", help="branch, tag, or commit of the data of a task"
    )


def main(args: argparse.Namespace) -> int:
    """Download everything, and print the size, the commit, and the folder of each part."""
    wanted = [part for name in args.names for part in parts_of(name, args.data_revision)]
    datasets = {tasks.load(part.task).hub.dataset for part in wanted if isinstance(part, Data)}
    if args.data_revision is not None and len(datasets) != 1:
        raise UserError(
            f"--data-revision needs names with exactly one data set, not {len(datasets)} "
            f"({', '.join(sorted(datasets)) or 'none'})"
        )
    _check_online(wanted)
    for part in dict.fromkeys(wanted):
        name, commit, folder = _model(part.name) if isinstance(part, Model) else _data(part)
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 10**6
        at = "" if commit is None else f", commit {commit[:7]}"
        print(f"{name}{at}: {size:,.1f} MB in {folder}", flush=True)
    return 0


def parts_of(name: str, data_revision: str | None = None) -> Iterator[Model | Data]:
    """Yield what a name stands for.

    Args:
        name: a built-in model, a hub model, a task, or a suite.
        data_revision: the revision of the data of a task.

    Raises:
        UserError: the name is unknown, or the task has no copy on the hub.
    """
    if name in models.builtin() or models.hub_model(name) is not None:
        yield Model(name)
    elif name in registry.files("task"):
        if tasks.load(name).hub is None:
            raise UserError(f"task {name} has no copy on the hub: there is nothing to download")
        yield Data(name, data_revision)
    elif name in registry.files("suite"):
        source = suites.data(name)
        for spec in suites.load(name):
            if spec.model in models.builtin() or models.hub_model(spec.model) is not None:
                yield Model(spec.model)
            if (source or spec.data) == "hub" and tasks.load(spec.task).hub is not None:
                yield Data(spec.task, spec.data_revision)
    else:
        names = [*models.builtin(), *registry.files("task"), *registry.files("suite")]
        raise UserError(f"{unknown('name to fetch', name, names)}; write a hub model as owner/name")


def _check_online(wanted: Sequence[Model | Data]) -> None:
    from huggingface_hub import constants

    on_hub = [p for p in wanted if isinstance(p, Data) or models.hub_model(p.name) is not None]
    if on_hub and constants.is_offline_mode():
        raise UserError("HF_HUB_OFFLINE is set, and fetch asks the hub for the newest commits: unset it")


def _model(name: str) -> tuple[str, str | None, Path]:
    from benchmarks.hub import models as hub_models
    from benchmarks.models import _published

    repo = models.hub_model(name)
    if repo is None:
        return name, None, Path(models.source(name))
    folder = hub_models.folder(repo, weights=True, known=_published.names(), refresh=True)
    return name, folder.name, folder


def _data(part: Data) -> tuple[str, str, Path]:
    from benchmarks.data import hub_rows, sources

    task = tasks.load(part.task)
    splits, commit = hub_rows.load(task.hub, part.revision, sources.hub_names(), refresh=True)
    config = "" if task.hub.config is None else f" ({task.hub.config})"
    return f"{task.hub.dataset}{config}", commit, Path(splits[0].cache_files[0]["filename"]).parent
