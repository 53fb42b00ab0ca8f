"""Sources of examples: the hub, a folder of JSON lines, or the task's generator."""

import gzip
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from random import Random

from benchmarks.data.example import Example, checked_examples
from benchmarks.errors import UserError, unknown
from benchmarks.tasks import Row, Task

SUFFIXES = (".jsonl", ".jsonl.gz")
# A file's path, modification time in nanoseconds, and size in bytes: the cache key of its content.
FileVersion = tuple[Path, int, int]


@dataclass(frozen=True)
class Pool:
    """A public split.

    Attributes:
        size: number of raw rows.
        examples: function that returns the examples of the i-th raw row.
    """

    size: int
    examples: Callable[[int], Iterable[Example]]

    def shuffled(self, rng: Random) -> Iterator[Example]:
        """Yield the examples in random order. Each row is converted when it is reached."""
        for i in rng.sample(range(self.size), self.size):
            yield from self.examples(i)


def built_in(name: str, task: Task, split: str, seed: int, tries: int) -> Iterator[Example]:
    """Yield examples of a split ("train", "validation", "test") from the task's generator.

    A hash of the row's content determines its split, so splits of any size do not overlap.
    """
    bucket = ("train", "validation", "test").index(split)
    rng = Random(f"{name}/{split}/{seed}")
    for _ in range(tries):
        example = Example(task, task.generate(rng))
        if zlib.crc32(example.key.encode()) % 3 == bucket:
            yield example


def hub_pools(task: Task) -> tuple[Pool, Pool]:
    """Return the public training and validation splits from the hub.

    Raises:
        UserError: the hub cannot be reached, or a row is malformed (raised when the row is drawn).
    """
    hub = task.hub
    try:
        import datasets

        loaded = [
            datasets.load_dataset(hub.dataset, hub.config, split=s) for s in (hub.train, hub.validation)
        ]
    # The errors of the hub client (no network, unknown dataset, damaged cache) share no base class.
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0]
        raise UserError(
            f"cannot load {hub.dataset} from the hub ({type(error).__name__}: {reason:.120}): "
            "without a network, use --data builtin or --data DIR"
        ) from error
    return tuple(
        _hub_pool(task, split, name) for split, name in zip(loaded, (hub.train, hub.validation), strict=True)
    )


def _hub_pool(task: Task, split: Sequence[Row], name: str) -> Pool:
    def examples(i: int) -> list[Example]:
        try:
            return checked_examples(task, task.from_hub, split[i])
        except ValueError as error:
            raise UserError(f"{task.hub.dataset} on the hub, split {name}, row {i}: {error}") from error

    return Pool(len(split), examples)


def folder_files(folder: Path, name: str) -> tuple[FileVersion, FileVersion]:
    """Return the training and validation files of a task in a data folder.

    Raises:
        UserError: the folder, the task's folder, or a file is missing.
    """
    if not folder.is_dir():
        raise UserError(f"no such data folder: {folder} (--data takes builtin, hub, or a folder)")
    if not (folder / name).is_dir():
        present = [f.name for f in folder.iterdir() if f.is_dir()]
        raise UserError(f"data folder {folder}: {unknown('task folder', name, present)}")
    files = []
    for split in ("train", "validation"):
        path = next((p for s in SUFFIXES if (p := folder / name / (split + s)).is_file()), None)
        if path is None:
            raise UserError(f"data folder {folder / name} has no {' or '.join(split + s for s in SUFFIXES)}")
        stat = path.stat()
        files.append((path, stat.st_mtime_ns, stat.st_size))
    return tuple(files)


def folder_pools(files: Iterable[FileVersion], task: Task) -> tuple[Pool, ...]:
    """Return the pools of data files. Each file is read once per process unless it changes.

    Raises:
        UserError: a file cannot be read, or one of its lines is malformed.
    """
    pools = []
    for file in files:
        examples = _file_examples(file, task)
        pools.append(Pool(len(examples), lambda i, examples=examples: (examples[i],)))
    return tuple(pools)


@lru_cache(maxsize=8)
def _file_examples(file: FileVersion, task: Task) -> tuple[Example, ...]:
    path = file[0]
    opened = gzip.open if path.suffix == ".gz" else open
    examples: list[Example] = []
    try:
        with opened(path, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    examples += _line_examples(line, task, f"{path}, line {number}")
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    return tuple(examples)


def _line_examples(line: str, task: Task, where: str) -> list[Example]:
    try:
        return checked_examples(task, task.from_file, json.loads(line))
    except json.JSONDecodeError as error:
        raise UserError(f"{where}: not JSON ({error.msg}, column {error.colno})") from error
    except ValueError as error:
        raise UserError(f"{where}: {error}") from error
