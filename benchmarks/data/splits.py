"""Where examples come from: the hub, a folder of JSON lines, or the task's own generator.

Train and validation are drawn together from the public training split, validation being the tail of
the draw; test is drawn from the public validation split (Malladi et al., arXiv 2305.17333, section 3).
Few-shot runs train and validate on so many rows of each class instead.
"""

import gzip
import hashlib
import json
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from random import Random

from benchmarks import tasks
from benchmarks.errors import UserError, unknown
from benchmarks.tasks import Row, Task

# A training split below this size cannot give 1,000 and 500 rows: SMALL_VALIDATION of it validate.
SMALL_TRAIN = 1_500
SMALL_VALIDATION = 100
SUFFIXES = (".jsonl", ".jsonl.gz")
NEEDED = {
    "train": "the public training split needs two different rows at least",
    "validation": "the public training split needs two rows at least",
    "test": "the public validation split needs a row that is not in the training split",
}


@dataclass(frozen=True)
class Splits:
    """Canonical rows of one task; no row is in two splits.

    Attributes:
        source: "hub", "builtin" or "folder".
        fingerprint: first 16 hexadecimal digits of the SHA-256 of the rows of the three splits.
    """

    train: list[Row]
    validation: list[Row]
    test: list[Row]
    source: str
    fingerprint: str


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
    """Draws the three splits of a task.

    Args:
        task_name: a file of `benchmarks/tasks`.
        source: "hub", "builtin" or the path of a folder with `<task>/{train,validation}.jsonl[.gz]`.
        train, validation, test: rows wanted; fewer come where the source has fewer. A public training
            split of less than 1,500 rows gives at most 100 (and at most half of it) to validation.
        seed: equal seeds draw equal rows.
        shots: rows of each class in training and as many others in validation, in place of `train` and
            `validation` (Gao et al., arXiv 2012.15723).

    Raises:
        UserError: no such task, folder or file; a malformed row; the hub cannot be reached; a class with
            too few rows.
    """
    task = tasks.load(task_name)
    # A task that only asks in other words draws the very rows of the other one.
    name = task.rows_of or task_name
    wanted = {"train": train, "validation": validation, "test": test}
    if source == "builtin":
        if task.generate is None:
            raise UserError(f"task {task_name} has no built-in rows: give --data DIR with a folder {name}/")
        parts = [_generate(name, task, split, count, seed, shots) for split, count in wanted.items()]
    elif source == "hub":
        if task.hub is None:
            raise UserError(f"task {task_name} has no copy on the hub: give --data DIR with a folder {name}/")
        parts = _draw_all(name, task, _hub_pools(task), wanted, seed, shots)
    else:
        parts = _draw_all(name, task, _folder_pools(Path(source), name, task), wanted, seed, shots)
    for (split, count), part in zip(wanted.items(), parts, strict=True):
        if count and not part:
            raise UserError(f"task {task_name} from {source}: no row is left for {split}: {NEEDED[split]}")
    kind = source if source in ("builtin", "hub") else "folder"
    return Splits(*parts, source=kind, fingerprint=_fingerprint(parts))


def _key(row: Row) -> str:
    return json.dumps(row, sort_keys=True, ensure_ascii=False)


def _fingerprint(parts: Iterable[list[Row]]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(("\n".join(map(_key, part)) + "\n\n").encode())
    return digest.hexdigest()[:16]


def _generate(name: str, task: Task, split: str, count: int, seed: int, shots: int | None) -> list[Row]:
    if shots is not None and split != "test":
        (part,) = _of_each_class(
            name, task, _built_in(name, task, split, seed, 1_000 * (1 + shots)), shots, 1
        )
        return part
    rows: dict[str, Row] = {}
    if count:
        for row in _built_in(name, task, split, seed, 1_000 + 100 * count):
            rows.setdefault(_key(row), row)
            if len(rows) == count:
                break
    if len(rows) < count:
        raise UserError(
            f"task {name!r}: its generator gives only {len(rows)} different {split} rows of the {count} "
            "wanted: ask for fewer or let it vary more"
        )
    return list(rows.values())


def _built_in(name: str, task: Task, split: str, seed: int, tries: int) -> Iterator[Row]:
    # A row's content alone decides its split: splits cannot overlap, however many rows each asks for.
    bucket = ("train", "validation", "test").index(split)
    rng = Random(f"{name}/{split}/{seed}")
    for _ in range(tries):
        row = task.generate(rng)
        if zlib.crc32(_key(row).encode()) % 3 == bucket:
            yield row


def _of_each_class(name: str, task: Task, rows: Iterable[Row], shots: int, parts: int) -> list[list[Row]]:
    """The first rows of each class in `parts` lists of `shots`, all different, in the order they come in."""
    drawn: list[list[Row]] = [[] for _ in range(parts)]
    found: Counter[int] = Counter()
    seen: set[str] = set()
    words: list[str] = []
    for row in rows:
        if (key := _key(row)) in seen:
            continue
        seen.add(key)
        label, words = task.gold(row), task.candidates(row)
        if found[label] < parts * shots:
            drawn[found[label] // shots].append(row)
            found[label] += 1
            if found.total() == parts * shots * len(words):
                return drawn
    least = min(range(len(words)), key=found.__getitem__, default=0)
    which = f" of class {least} ({words[least].strip()})" if words else ""
    raise UserError(
        f"task {name}: {found[least]} different training rows{which}, and shots={shots} needs "
        f"{parts * shots} of each class: ask for fewer shots"
    )


@dataclass(frozen=True)
class _Pool:
    """One public split: `rows(i)` gives the canonical rows of its i-th raw row."""

    size: int
    rows: Callable[[int], Iterable[Row]]

    def shuffled(self, rng: Random) -> Iterator[Row]:
        """Its rows in random order, converted as they are asked for."""
        for i in rng.sample(range(self.size), self.size):
            yield from self.rows(i)


def _draw_all(
    name: str,
    task: Task,
    pools: Sequence[_Pool],
    wanted: Mapping[str, int],
    seed: int,
    shots: int | None,
) -> list[list[Row]]:
    public_train, public_validation = pools
    train, validation, test = wanted.values()
    stream = public_train.shuffled(Random(f"train/{seed}"))
    if shots is not None:
        trained, validated = _of_each_class(name, task, stream, shots, 2)
    else:
        trained, validated = _draw(stream, public_train.size, train, validation)
    taken = set(map(_key, trained + validated))
    tested = (r for r in public_validation.shuffled(Random(f"test/{seed}")) if _key(r) not in taken)
    return [trained, validated, list(islice(tested, test))]


def _draw(stream: Iterator[Row], size: int, train: int, validation: int) -> tuple[list[Row], list[Row]]:
    if size < SMALL_TRAIN:
        validation = min(validation, SMALL_VALIDATION, size // 2)
    drawn = list(islice(stream, train + validation))
    cut = max(0, len(drawn) - validation)
    # Some public rows are alike, and count as often as they stand there, but never on both sides.
    taken = set(map(_key, drawn[cut:]))
    trained = list(islice((r for r in chain(drawn[:cut], stream) if _key(r) not in taken), train))
    return trained, drawn[cut:]


def _hub_pools(task: Task) -> tuple[_Pool, _Pool]:
    hub = task.hub
    try:
        import datasets

        loaded = [
            datasets.load_dataset(hub.dataset, hub.config, split=s) for s in (hub.train, hub.validation)
        ]
    # The client's errors share no base class: no network, no such data set and a bad cache all end here.
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0]
        raise UserError(
            f"cannot load {hub.dataset} from the hub ({type(error).__name__}: {reason:.120}): "
            "without a network use --data builtin or --data DIR"
        ) from error
    return tuple(
        _hub_pool(task, split, name) for split, name in zip(loaded, (hub.train, hub.validation), strict=True)
    )


def _hub_pool(task: Task, split: Sequence[Row], name: str) -> _Pool:
    def rows(i: int) -> list[Row]:
        try:
            return _canonical(task, task.from_hub, split[i])
        except ValueError as error:
            raise UserError(f"{task.hub.dataset} on the hub, split {name}, row {i}: {error}") from error

    return _Pool(len(split), rows)


def _folder_pools(folder: Path, name: str, task: Task) -> tuple[_Pool, _Pool]:
    if not folder.is_dir():
        raise UserError(f"no such data folder: {folder} (--data takes hub, builtin or a folder)")
    if not (folder / name).is_dir():
        present = [f.name for f in folder.iterdir() if f.is_dir()]
        raise UserError(f"data folder {folder}: {unknown('task folder', name, present)}")
    pools = []
    for split in ("train", "validation"):
        path = next((p for s in SUFFIXES if (p := folder / name / (split + s)).is_file()), None)
        if path is None:
            raise UserError(
                f"data folder {folder / name} holds no {' or '.join(split + s for s in SUFFIXES)}"
            )
        rows = list(_file_rows(path, task))
        pools.append(_Pool(len(rows), lambda i, rows=rows: (rows[i],)))
    return tuple(pools)


def _file_rows(path: Path, task: Task) -> Iterator[Row]:
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield from _line_rows(line, task, f"{path}, line {number}")
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise UserError(f"{path} cannot be read: {error}") from error


def _line_rows(line: str, task: Task, where: str) -> list[Row]:
    try:
        return _canonical(task, task.from_file, json.loads(line))
    except json.JSONDecodeError as error:
        raise UserError(f"{where}: not JSON ({error.msg}, column {error.colno})") from error
    except ValueError as error:
        raise UserError(f"{where}: {error}") from error


def _canonical(task: Task, convert: Callable[[Row], Iterable[Row]], raw: Row) -> list[Row]:
    """The rows of a raw one, of which the harness can make all that it needs; `ValueError` if it cannot."""
    try:
        rows = list(convert(raw))
        made = [(task.prompt(row), task.candidates(row), task.gold(row)) for row in rows]
        _ = [task.cloze(row, "<mask>") for row in rows] if task.cloze else []
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"the task cannot use this row ({type(error).__name__}: {error})") from error
    for _, candidates, gold in made:
        right = [gold] if isinstance(gold, int) else gold
        if not right:
            raise ValueError("no answer of this row is right")
        for index in [] if task.generative else right:
            if type(index) is not int or not 0 <= index < len(candidates):
                raise ValueError(
                    f"the right answer should be the place of one of the {len(candidates)} candidates, "
                    f"from 0, not {index!r}"
                )
    return rows
