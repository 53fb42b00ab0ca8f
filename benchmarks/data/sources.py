"""Sources of examples: the hub, a folder of JSON lines, or the task's generator."""

import gzip
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.data.example import Example, checked_example, checked_examples, generated_row
from benchmarks.data.values import TaskError
from benchmarks.errors import UserError, unknown
from benchmarks.tasks import Row, Task

# The branch in which the hub keeps every dataset without its loading script.
CONVERTED = "refs/convert/parquet"
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


def hub_pools(task: Task) -> tuple[Pool, Pool]:
    """Return the public training and validation splits from the hub.

    Raises:
        UserError: the hub cannot be reached, or a row is malformed (raised when the row is drawn).
    """
    hub = task.hub
    try:
        import datasets

        loaded = [
            datasets.load_dataset(hub.dataset, hub.config, split=s, revision=hub.revision)
            for s in (hub.train, hub.validation)
        ]
    # The errors of the hub client (no network, unknown dataset, damaged cache) share no base class.
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0]
        remedy = "without a network, use --data builtin or --data DIR"
        if "Dataset scripts are no longer supported" in reason:
            remedy = (
                f"set a revision without a script in the task's Hub, such as revision={CONVERTED!r}, "
                "or use --data builtin or --data DIR"
            )
        raise UserError(
            f"cannot load {hub.dataset} from the hub ({type(error).__name__}: {reason:.120}): {remedy}"
        ) from error
    return tuple(
        _hub_pool(task, split, name) for split, name in zip(loaded, (hub.train, hub.validation), strict=True)
    )


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
        raise UserError(f"no such data folder: {folder} (--data takes builtin, hub, or a folder)")
    if not (folder / name).is_dir():
        present = [f.name for f in folder.iterdir() if f.is_dir()]
        if not present:
            raise UserError(
                f"data folder {folder} has no folders: it needs {name}/ with train.jsonl and validation.jsonl"
            )
        raise UserError(f"data folder {folder}: {unknown('task folder', name, present)}")
    return tuple(_split_file(folder / name, split) for split in ("train", "validation"))


def _split_file(folder: Path, split: str) -> FileVersion:
    names = [split + suffix for suffix in SUFFIXES]
    paths = [folder / name for name in names if (folder / name).exists()]
    if not paths:
        found = ", ".join(sorted(f.name for f in folder.iterdir())) or "nothing"
        raise UserError(f"data folder {folder} has no {' or '.join(names)} (it has {found})")
    if len(paths) > 1:
        raise UserError(f"data folder {folder} has both {' and '.join(names)}: remove one of them")
    (path,) = paths
    if not path.is_file():
        raise UserError(f"{path} is not a file: it must be a file with one JSON object per line")
    stat = path.stat()
    return path, stat.st_mtime_ns, stat.st_size


def folder_pools(files: Iterable[FileVersion], task: Task) -> tuple[Pool, ...]:
    """Return the pools of data files. Each file is read once per process unless it changes.

    Raises:
        UserError: a file cannot be read or has no rows, or one of its lines is malformed.
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
    lines = 0
    try:
        # Bytes that are not UTF-8 become lone surrogates, so that `_line_examples` can name their line.
        with opened(path, "rt", encoding="utf-8-sig", errors="surrogateescape") as file_lines:
            for number, line in enumerate(file_lines, 1):
                if line.strip():
                    lines += 1
                    examples += _line_examples(line, task, f"{path}, line {number}")
    except (OSError, EOFError, zlib.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise UserError(f"{path} cannot be read: {reason}") from error
    if not lines:
        raise UserError(f"{path} has no rows: it needs one JSON object per line")
    if not examples:
        raise UserError(f"{path}: from_file of task {task.name} skips all {lines} rows")
    return tuple(examples)


def _line_examples(line: str, task: Task, where: str) -> list[Example]:
    try:
        return checked_examples(task, "from_file", task.from_file, _parsed(line))
    except json.JSONDecodeError as error:
        raise UserError(f"{where}: not JSON ({error.msg}, column {error.colno})") from error
    except RecursionError as error:
        raise UserError(f"{where}: the row is nested too deeply") from error
    except ValueError as error:
        raise UserError(f"{where}: {error}") from error


def _parsed(line: str) -> Any:
    """Return the value of a line of JSON.

    Raises:
        ValueError: the line is not UTF-8 or not JSON, an object has a name twice, or a number is too long.
    """
    if not line.isascii():
        try:
            line.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"not UTF-8 (column {error.start + 1})") from None
    try:
        return _decode(line.strip())
    except (json.JSONDecodeError, _Twice):
        raise
    except ValueError as error:
        # Python limits the number of digits that it converts.
        raise ValueError("a number has too many digits; write it as a text") from error


class _Twice(ValueError):
    """An object of a line has two fields of the same name."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        twice = next(name for i, (name, _) in enumerate(pairs) if name in dict(pairs[:i]))
        raise _Twice(f"field {twice!r} is there twice: remove one of them")
    return fields


_decode = json.JSONDecoder(object_pairs_hook=_object).decode
