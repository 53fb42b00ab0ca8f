"""Training, validation, and test examples of a task, drawn from one of its sources.

Training and validation rows are drawn together from the public training split. The last rows of the draw
become the validation rows. Test rows are drawn from the public validation split (Malladi et al., arXiv
2305.17333, section 3). Few-shot runs draw a fixed number of training and validation rows per class instead.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path
from random import Random

from benchmarks import tasks
from benchmarks.data.example import Example
from benchmarks.data.sources import FileVersion, Pool, built_in, folder_files, folder_pools, hub_pools
from benchmarks.errors import UserError
from benchmarks.tasks import Task

# A public training split with fewer rows cannot give 1,000 training and 500 validation rows. It gives at most
# SMALL_VALIDATION validation rows.
SMALL_TRAIN = 1_500
SMALL_VALIDATION = 100
NEEDED = {
    "train": "the public training split needs at least two different rows",
    "validation": "the public training split needs at least two rows",
    "test": "the public validation split needs a row that is not in the training split",
}


@dataclass(frozen=True)
class Splits:
    """The three splits of a task; no row is in two of them.

    Attributes:
        source: "hub", "builtin", or "folder".
        fingerprint: first 16 hexadecimal digits of the SHA-256 of the rows of the three splits.
    """

    train: list[Example]
    validation: list[Example]
    test: list[Example]
    source: str
    fingerprint: str


@dataclass(frozen=True)
class _Request:
    """Everything that determines the content of splits; `files` are the versions of a folder's files."""

    task: Task
    task_name: str
    source: str
    files: tuple[FileVersion, ...]
    train: int
    validation: int
    test: int
    seed: int
    shots: int | None

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
) -> Splits:
    """Draw the three splits of a task. The last few results are cached, so equal calls read nothing.

    Args:
        task_name: command-line name of the task.
        source: "hub", "builtin", or the path of a folder with `<task>/{train,validation}.jsonl[.gz]`.
        train, validation, test: number of rows; a smaller source gives fewer. A public training split with
            fewer than 1,500 rows gives at most 100 of them (and at most half of them) to validation.
        seed: equal seeds draw equal rows.
        shots: number of training rows per class, and of validation rows per class, instead of `train` and
            `validation` (Gao et al., arXiv 2012.15723).

    Raises:
        UserError: the task, the folder, or a file does not exist; a row is malformed; the hub cannot be
            reached; or a class has too few rows.
    """
    return _load(_request(task_name, source, train, validation, test, seed, shots))


def data_fingerprint(
    task_name: str,
    source: str,
    *,
    train: int,
    validation: int,
    test: int,
    seed: int,
    shots: int | None = None,
) -> str:
    """Return the fingerprint of the splits that `load_splits` draws. It is cached for this process."""
    return _fingerprint_of(_request(task_name, source, train, validation, test, seed, shots))


def _request(task_name: str, source: str, *how: int | None) -> _Request:
    task = tasks.load(task_name)
    files = ()
    if source == "builtin" and task.generate is None:
        folder = task.rows_of or task_name
        raise UserError(f"task {task_name} has no built-in rows: use --data DIR with a folder {folder}/")
    if source == "hub" and task.hub is None:
        folder = task.rows_of or task_name
        raise UserError(f"task {task_name} has no copy on the hub: use --data DIR with a folder {folder}/")
    if source not in ("builtin", "hub"):
        files = folder_files(Path(source), task.rows_of or task_name)
    return _Request(task, task_name, source, files, *how)


@lru_cache(maxsize=1024)
def _fingerprint_of(request: _Request) -> str:
    return _load(request).fingerprint


@lru_cache(maxsize=8)
def _load(request: _Request) -> Splits:
    task, name = request.task, request.rows_of
    if request.source == "builtin":
        parts = [_generate(request, split, count) for split, count in request.sizes.items()]
    else:
        pools = hub_pools(task) if request.source == "hub" else folder_pools(request.files, task)
        parts = _draw_all(name, pools, request.sizes, request.seed, request.shots)
    for (split, count), part in zip(request.sizes.items(), parts, strict=True):
        if count and not part:
            raise UserError(
                f"task {request.task_name} from {request.source}: no rows are left for {split}: "
                f"{NEEDED[split]}"
            )
    source = request.source if request.source in ("builtin", "hub") else "folder"
    return Splits(*parts, source=source, fingerprint=_digest(parts))


def _digest(parts: Iterable[list[Example]]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(("\n".join(example.key for example in part) + "\n\n").encode())
    return digest.hexdigest()[:16]


def _generate(request: _Request, split: str, count: int) -> list[Example]:
    name, task, shots = request.rows_of, request.task, request.shots
    if shots is not None and split != "test":
        stream = built_in(name, task, split, request.seed, 1_000 * (1 + shots))
        (part,) = _of_each_class(name, stream, shots, 1)
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


def _of_each_class(name: str, stream: Iterable[Example], shots: int, parts: int) -> list[list[Example]]:
    """Return `parts` lists, each with `shots` different rows per class, in the order of the stream."""
    drawn: list[list[Example]] = [[] for _ in range(parts)]
    found: Counter[int] = Counter()
    seen: set[str] = set()
    candidates: list[str] = []
    for example in stream:
        if example.key in seen:
            continue
        seen.add(example.key)
        label, candidates = example.gold, example.candidates
        if found[label] < parts * shots:
            drawn[found[label] // shots].append(example)
            found[label] += 1
            if found.total() == parts * shots * len(candidates):
                return drawn
    least = min(range(len(candidates)), key=found.__getitem__, default=0)
    which = f" of class {least} ({candidates[least].strip()})" if candidates else ""
    raise UserError(
        f"task {name}: only {found[least]} different training rows{which}, but shots={shots} needs "
        f"{parts * shots} per class: use fewer shots"
    )


def _draw_all(
    name: str, pools: Sequence[Pool], sizes: Mapping[str, int], seed: int, shots: int | None
) -> list[list[Example]]:
    public_train, public_validation = pools
    stream = public_train.shuffled(Random(f"train/{seed}"))
    if shots is not None:
        train, validation = _of_each_class(name, stream, shots, 2)
    else:
        train, validation = _draw(stream, public_train.size, sizes["train"], sizes["validation"])
    taken = {example.key for example in train + validation}
    test = (e for e in public_validation.shuffled(Random(f"test/{seed}")) if e.key not in taken)
    return [train, validation, list(islice(test, sizes["test"]))]


def _draw(
    stream: Iterator[Example], size: int, train: int, validation: int
) -> tuple[list[Example], list[Example]]:
    if size < SMALL_TRAIN:
        validation = min(validation, SMALL_VALIDATION, size // 2)
    drawn = list(islice(stream, train + validation))
    cut = max(0, len(drawn) - validation)
    # The public split may contain duplicate rows. Each copy counts, but both splits never contain the same
    # row.
    taken = {example.key for example in drawn[cut:]}
    training = list(islice((e for e in chain(drawn[:cut], stream) if e.key not in taken), train))
    return training, drawn[cut:]
