"""Draws of a task's rows: which rows become training, validation, and test examples.

Training and validation rows are drawn together from the public training split. The last rows of the draw
become the validation rows. Test rows are drawn from the public validation split (Malladi et al., arXiv
2305.17333, section 3). Few-shot runs draw a fixed number of training and validation rows per class instead
(Gao et al., arXiv 2012.15723).
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from random import Random

from benchmarks.data.example import Example
from benchmarks.data.sources import Pool
from benchmarks.errors import UserError

# A public training split with fewer rows cannot give 1,000 training and 500 validation rows. It gives at most
# SMALL_VALIDATION validation rows.
SMALL_TRAIN = 1_500
SMALL_VALIDATION = 100


def of_each_class(name: str, stream: Iterable[Example], shots: int, parts: int) -> list[list[Example]]:
    """Return `parts` lists, each with `shots` different rows per class, in the order of the stream.

    Args:
        name: the task, for errors.
        stream: examples.
        shots: number of rows per class.
        parts: number of lists.

    Raises:
        UserError: a class has too few different rows, or rows have different numbers of candidates.
    """
    drawn: list[list[Example]] = [[] for _ in range(parts)]
    found: Counter[int] = Counter()
    seen: set[str] = set()
    candidates: list[str] = []
    for example in stream:
        if example.key in seen:
            continue
        seen.add(example.key)
        if candidates and len(candidates) != len(example.candidates):
            raise UserError(
                f"task {name}: shots needs the same number of candidates in every row, not both "
                f"{len(candidates)} and {len(example.candidates)}: do not set shots"
            )
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


def draw_all(
    name: str, pools: Sequence[Pool], sizes: Mapping[str, int], seed: int, shots: int | None
) -> list[list[Example]]:
    """Return the training, validation, and test examples of two public splits.

    Args:
        name: the task, for errors.
        pools: the public training split, and the public validation split.
        sizes: numbers of rows for "train", "validation", and "test".
        seed: equal seeds draw equal rows.
        shots: number of training rows per class, and of validation rows per class, instead of the sizes.

    Raises:
        UserError: as in `of_each_class`.
    """
    public_train, public_validation = pools
    stream = public_train.shuffled(Random(f"train/{seed}"))
    if shots is not None:
        train, validation = of_each_class(name, stream, shots, 2)
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
