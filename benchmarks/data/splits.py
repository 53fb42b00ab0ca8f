"""Training, validation, and test examples of a task, drawn from one source as in `benchmarks.data.draws`."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path

from benchmarks import registry, tasks
from benchmarks.data.draws import draw_all, of_each_class
from benchmarks.data.example import Example
from benchmarks.data.sources import (
    FileVersion,
    Pool,
    built_in,
    file_pools,
    file_version,
    folder_files,
    folder_pools,
    hub_pools,
)
from benchmarks.data.values import TaskError
from benchmarks.errors import UserError
from benchmarks.tasks import Task

NEEDED = {
    "train": "the public training split needs at least two different rows",
    "validation": "the public training split needs at least two rows",
    "test": "the public validation split needs a row that is not in the training split",
}
# Number of rows per split that are rendered twice, to find tasks that draw random numbers.
RENDERED_TWICE = 8


@dataclass(frozen=True)
class Splits:
    """The three splits of a task; no row is in two of them.

    Attributes:
        source: "hub", "builtin", "folder", or "file".
        fingerprint: first 16 hexadecimal digits of the SHA-256 of the rows of the three splits and of the
            texts that the task renders from them.
        no_classes: why a classification head cannot serve these rows; None if it can.
        skipped: number of rows of the data files of which the task makes no row, such as questions without an
            answer.
        commit: the commit of the data set on the hub; None for other sources.
    """

    train: list[Example]
    validation: list[Example]
    test: list[Example]
    source: str
    fingerprint: str
    no_classes: str | None = None
    skipped: int = 0
    commit: str | None = None


@dataclass(frozen=True)
class _Request:
    """Everything that determines the content of splits.

    Attributes:
        source: "builtin", "hub", or the path of a folder or a file.
        files: the versions of a folder's two files, or of the one file.
    """

    task: Task
    task_name: str
    source: str
    files: tuple[FileVersion, ...]
    train: int
    validation: int
    test: int
    seed: int
    shots: int | None
    revision: str | None

    @property
    def rows_of(self) -> str:
        """The task that provides the rows. A task that only changes the prompt uses another task's rows."""
        return self.task.rows_of or self.task_name

    @property
    def sizes(self) -> dict[str, int]:
        return {"train": self.train, "validation": self.validation, "test": self.test}


def load_splits(
    task_name: str,
    source: str,
    *,
    train: int,
    validation: int,
    test: int,
    seed: int,
    shots: int | None = None,
    head: str = "lm",
    revision: str | None = None,
) -> Splits:
    """Draw the three splits of a task. The last few results are cached, so equal calls read nothing.

    Args:
        task_name: command-line name of the task.
        source: "hub", "builtin", the path of a folder with a data file for each split
            (`<task>/{train,validation}.csv`), or the path of one data file, of which about a fifth of the
            rows are test rows. `benchmarks.data.formats` lists the formats.
        train, validation, test: number of rows; a smaller source gives fewer. A public training split with
            fewer than 1,500 rows gives at most 100 of them (and at most half of them) to validation.
        seed: equal seeds draw equal rows.
        shots: number of training rows per class, and of validation rows per class, instead of `train` and
            `validation` (Gao et al., arXiv 2012.15723).
        head: "lm", or "classification" if a head needs the same number of classes and texts in every row.
        revision: branch, tag, or commit of the data set on the hub, instead of the task's.

    Raises:
        UserError: the task, the folder, or a file does not exist; a row is malformed; the task returns an
            invalid value for a row; the hub cannot be reached; a class has too few rows; or the rows do not
            suit the head.
    """
    splits = _load(_request(task_name, source, train, validation, test, seed, shots, revision))
    _check_head(head, splits.no_classes)
    return splits


def data_fingerprint(
    task_name: str,
    source: str,
    *,
    train: int,
    validation: int,
    test: int,
    seed: int,
    shots: int | None = None,
    head: str = "lm",
    revision: str | None = None,
) -> str:
    """Return the fingerprint of the splits that `load_splits` draws. It is cached for this process.

    Raises:
        UserError: as in `load_splits`.
    """
    fingerprint, no_classes = _summary_of(
        _request(task_name, source, train, validation, test, seed, shots, revision)
    )
    _check_head(head, no_classes)
    return fingerprint


def _check_head(head: str, no_classes: str | None) -> None:
    if head == "classification" and no_classes is not None:
        raise UserError(f"{no_classes}: use head=lm")


def _request(task_name: str, source: str, *how: int | str | None) -> _Request:
    task = tasks.load(task_name)
    files = ()
    folder = registry.stem(task.rows_of or task_name)
    remedy = f"use --data DIR with a folder {folder}/, or --data FILE"
    if source == "builtin" and task.generate is None:
        raise UserError(f"task {task_name} has no built-in rows: {remedy}")
    if source == "hub" and task.hub is None:
        raise UserError(f"task {task_name} has no copy on the hub: {remedy}")
    if source not in ("builtin", "hub"):
        path = Path(source)
        files = (file_version(path),) if path.is_file() else folder_files(path, folder)
    return _Request(task, task_name, source, files, *how)


@lru_cache(maxsize=1024)
def _summary_of(request: _Request) -> tuple[str, str | None]:
    splits = _load(request)
    return splits.fingerprint, splits.no_classes


@lru_cache(maxsize=8)
def _load(request: _Request) -> Splits:
    task, name, skipped, commit = request.task, request.rows_of, 0, None
    if request.source == "builtin":
        parts = [_generate(request, split, count) for split, count in request.sizes.items()]
    else:
        pools, commit = _pools(request)
        skipped = sum(pool.skipped for pool in pools)
        parts = draw_all(name, pools, request.sizes, request.seed, request.shots)
    for (split, count), part in zip(request.sizes.items(), parts, strict=True):
        if count and not part:
            raise UserError(
                f"task {request.task_name} from {request.source}: no rows are left for {split}: "
                f"{NEEDED[split]}"
            )
    try:
        for part in parts:
            for example in part[:RENDERED_TWICE]:
                example.check_again()
    except TaskError as error:
        raise UserError(str(error)) from error
    return Splits(
        *parts,
        source=_kind(request),
        fingerprint=_digest(task, parts),
        no_classes=_no_classes(request.task_name, parts),
        skipped=skipped,
        commit=commit,
    )


def _kind(request: _Request) -> str:
    if request.source in ("builtin", "hub"):
        return request.source
    return "file" if len(request.files) == 1 else "folder"


def _pools(request: _Request) -> tuple[tuple[Pool, ...], str | None]:
    """Return the pools of a source, and the commit of a data set on the hub."""
    kind = _kind(request)
    if kind == "hub":
        return hub_pools(request.task, request.revision)
    if kind == "file":
        return file_pools(*request.files, request.task), None
    return folder_pools(request.files, request.task), None


def _no_classes(task_name: str, parts: Sequence[list[Example]]) -> str | None:
    """Return why a classification head cannot serve some examples; None if it can."""
    examples = list(chain(*parts))
    open_answer = next((e.gold for e in examples if not isinstance(e.gold, int)), None)
    if open_answer is not None:
        return f"task {task_name} has no fixed classes (gold is {open_answer!r:.40})"
    for name, what in (("candidates", "classes"), ("inputs", "texts")):
        counts = sorted({len(getattr(example, name)) for example in examples})
        if len(counts) > 1:
            return (
                f"task {task_name}: a classification head needs the same number of {what} in every row, but "
                f"{name} returns {counts[0]} to {counts[-1]}"
            )
    return None


def _digest(task: Task, parts: Iterable[list[Example]]) -> str:
    # A run depends on a task only through its rows, the texts rendered from them, and these fields. So this
    # hash changes with anything that a task reads, from whatever source, if it makes a difference.
    digest = hashlib.sha256(f"{task.metric} {task.loss} {task.max_new_tokens}\n".encode())
    for part in parts:
        digest.update(("\n".join(f"{e.key}\n{e.texts}" for e in part) + "\n\n").encode())
    return digest.hexdigest()[:16]


def _generate(request: _Request, split: str, count: int) -> list[Example]:
    name, task, shots = request.rows_of, request.task, request.shots
    if shots is not None and split != "test":
        stream = built_in(name, task, split, request.seed, 1_000 * (1 + shots))
        (part,) = of_each_class(name, stream, shots, 1)
        return part
    examples: dict[str, Example] = {}
    if count:
        for example in built_in(name, task, split, request.seed, 1_000 + 100 * count):
            examples.setdefault(example.key, example)
            if len(examples) == count:
                break
    if len(examples) < count:
        raise UserError(
            f"task {name!r}: the generator produces only {len(examples)} different {split} rows, but {count} "
            "are needed: request fewer rows, or add variety to the generator"
        )
    return list(examples.values())
