"""Sources of examples: the hub, data files, or the task's generator."""

import hashlib
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from random import Random

from benchmarks import registry, tasks
from benchmarks.data import formats, hub_rows
from benchmarks.data.example import (
    Example,
    checked_example,
    checked_examples,
    checked_file_examples,
    generated_row,
)
from benchmarks.data.values import TaskError
from benchmarks.errors import UserError, unknown
from benchmarks.tasks import Row, Task

# The fraction of the rows of a single file that are test rows.
TEST_FRACTION = 0.2
# A file's path, modification time in nanoseconds, and size in bytes: the cache key of its content.
FileVersion = tuple[Path, int, int]


@dataclass(frozen=True)
class Pool:
    """A public split.

    Attributes:
        size: number of raw rows, or of the canonical rows of a file.
        examples: function that returns the examples of the i-th row.
        skipped: number of raw rows of a file of which the task makes no row.
    """

    size: int
    examples: Callable[[int], Iterable[Example]]
    skipped: int = 0

    def shuffled(self, rng: Random) -> Iterator[Example]:
        """Yield the examples in random order. Each row is converted when it is reached."""
        for i in rng.sample(range(self.size), self.size):
            yield from self.examples(i)


def built_in(name: str, task: Task, split: str, seed: int, tries: int) -> Iterator[Example]:
    """Yield examples of a split ("train", "validation", "test") from the task's generator.

    A hash of the row's content determines its split, so splits of any size do not overlap.

    Raises:
        UserError: the generator returns something else than a row, or the task cannot use the row.
    """
    bucket = ("train", "validation", "test").index(split)
    rng = Random(f"{name}/{split}/{seed}")
    for _ in range(tries):
        try:
            row = generated_row(task, rng)
            if zlib.crc32(Example(task, row).key.encode()) % 3 == bucket:
                yield checked_example(task, "generate", row)
        except TaskError as error:
            raise UserError(f"built-in rows: {error}") from error


def hub_pools(task: Task, revision: str | None = None) -> tuple[tuple[Pool, Pool], str]:
    """Return the public training and validation splits from the hub, and the commit that they are from.

    Args:
        task: the task.
        revision: branch, tag, or commit of the data set; None for the task's.

    Raises:
        UserError: the data set is neither in the cache nor can be downloaded, or a row is malformed (raised
            when the row is drawn).
    """
    loaded, commit = hub_rows.load(task.hub, revision, hub_names())
    names = (task.hub.train, task.hub.validation)
    return tuple(_hub_pool(task, split, name) for split, name in zip(loaded, names, strict=True)), commit


def hub_names() -> set[str]:
    """Return the names of the data sets of all tasks on the hub."""
    return {task.hub.dataset for task in map(tasks.load, registry.files("task")) if task.hub}


def _hub_pool(task: Task, split: Sequence[Row], name: str) -> Pool:
    def examples(i: int) -> list[Example]:
        try:
            return checked_examples(task, "from_hub", task.from_hub, split[i])
        except ValueError as error:
            raise UserError(f"{task.hub.dataset} on the hub, split {name}, row {i}: {error}") from error

    return Pool(len(split), examples)


def folder_files(folder: Path, name: str) -> tuple[FileVersion, FileVersion]:
    """Return the training and validation files of a task in a data folder.

    Raises:
        UserError: the folder, the task's folder, or a file is missing or not of the expected kind, or a split
            has two files.
    """
    if not folder.is_dir():
        raise UserError(f"no such data folder: {folder} (--data takes builtin, hub, a folder, or a file)")
    if not (folder / name).is_dir():
        present = [f.name for f in folder.iterdir() if f.is_dir()]
        if not present:
            raise UserError(
                f"data folder {folder} has no folders: it needs {name}/ with train.jsonl and validation.jsonl"
            )
        raise UserError(f"data folder {folder}: {unknown('task folder', name, present)}")
    return tuple(_split_file(folder / name, split) for split in ("train", "validation"))


def _split_file(folder: Path, split: str) -> FileVersion:
    names = [split + suffix for suffix in formats.SUFFIXES]
    paths = [folder / name for name in names if (folder / name).exists()]
    if not paths:
        found = ", ".join(sorted(f.name for f in folder.iterdir())) or "nothing"
        raise UserError(
            f"data folder {folder} has no {names[0]} or {names[1]}, nor {split} in another format "
            f"({', '.join(formats.SUFFIXES[2:])}); it has {found}"
        )
    if len(paths) > 1:
        both = f"{paths[0].name} and {paths[1].name}"
        raise UserError(f"data folder {folder} has both {both}: remove one of them")
    return file_version(paths[0])


def file_version(path: Path) -> FileVersion:
    """Return what identifies the content of a data file.

    Raises:
        UserError: it is missing, or not a data file.
    """
    formats.check(path)
    stat = path.stat()
    return path, stat.st_mtime_ns, stat.st_size


def folder_pools(files: Iterable[FileVersion], task: Task) -> tuple[Pool, ...]:
    """Return the pools of data files. Each file is read once per process unless it changes.

    Raises:
        UserError: a file cannot be read or has no rows, or one of its rows is malformed.
    """
    return tuple(_pool(task, *_rows_of_file(file, task)) for file in files)


def file_pools(file: FileVersion, task: Task) -> tuple[Pool, Pool]:
    """Return a training and a test pool that share the rows of one file.

    A hash of its content determines the pool of a row. So equal rows are in one pool, and neither the order
    of the rows nor a seed moves a row to another pool.

    Raises:
        UserError: as in `folder_pools`, or the file has too few rows.
    """
    pools = _divided(file, task)
    train, test = map(len, pools)
    if train < 2 or not test:
        raise UserError(
            f"{file[0]} has too few rows: a hash of each makes {test} of {train + test} rows test rows, "
            "but a run needs at least 1 test row and 2 other rows: add rows"
        )
    _, skipped = _rows_of_file(file, task)
    return _pool(task, pools[0], skipped), _pool(task, pools[1], 0)


@lru_cache(maxsize=8)
def _divided(file: FileVersion, task: Task) -> tuple[tuple[Row, ...], tuple[Row, ...]]:
    pools: tuple[list[Row], list[Row]] = [], []
    for row in _rows_of_file(file, task)[0]:
        # The checksum of the built-in rows is too weak for texts that differ in few characters.
        digest = hashlib.sha256(Example(task, row).key.encode()).digest()
        pools[int.from_bytes(digest[:8], "big") < TEST_FRACTION * 2**64].append(row)
    return tuple(map(tuple, pools))


def _pool(task: Task, rows: Sequence[Row], skipped: int) -> Pool:
    return Pool(len(rows), lambda i: (Example(task, rows[i]),), skipped)


@lru_cache(maxsize=8)
def _rows_of_file(file: FileVersion, task: Task) -> tuple[tuple[Row, ...], int]:
    """Return the canonical rows of a file, after a check of each, and the number of raw rows without any.

    The examples are dropped: the texts that a check renders take several times the memory of a row.
    """
    path = file[0]
    kept: list[Row] = []
    count = skipped = 0
    for place, raw in formats.rows(path):
        count += 1
        try:
            found = checked_file_examples(task, raw)
        except ValueError as error:
            raise UserError(f"{path}, {place}: {error}") from error
        kept += [example.row for example in found]
        skipped += not found
    if not count:
        raise UserError(f"{path} has no rows: it needs {formats.NEEDS[formats.kind_of(path)]}")
    if not kept:
        raise UserError(f"{path}: from_file of task {task.name} skips all {count} rows")
    return tuple(kept), skipped
