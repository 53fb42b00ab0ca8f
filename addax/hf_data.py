"""The training data of AddaxTrainer: lengths of tokenized examples, and their assignment to D0 and D1."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.utils.data import Dataset, Subset

from addax.assignment import LengthThreshold, assign


def split(
    dataset: Dataset,
    length_threshold: LengthThreshold | None,
    choose: Callable[[Sequence[int]], int | None],
) -> tuple[Dataset, Dataset, int | None]:
    """Return D0, D1, and L_T in tokens. Without a threshold, both parts are the dataset itself.

    Args:
        dataset: the training examples.
        length_threshold: L_T.
        choose: returns L_T from the lengths, for a memory budget; None if a step fits without a threshold.

    Raises:
        ValueError: if the dataset has no length, if a length is unknown, or if a part is empty.
    """
    if not hasattr(dataset, "__len__"):
        raise ValueError(
            f"train_dataset ({type(dataset).__name__}) has no length, but B0 is drawn by index: use a "
            "dataset with __len__ and __getitem__"
        )
    if length_threshold is None:
        return dataset, dataset, None
    lengths = token_lengths(dataset)
    tokens = choose(lengths) if length_threshold.memory is not None else length_threshold.resolve(lengths)
    if tokens is None:
        return dataset, dataset, None
    parts = assign(lengths, tokens)
    for name, part, side in (("D0", parts.zo, "longer than"), ("D1", parts.fo, "of at most")):
        if not part:
            raise ValueError(
                f"{name} is empty: no training example is {side} length_threshold = {tokens} "
                f"tokens (lengths {min(lengths)} to {max(lengths)}): change the threshold"
            )
    return part_of(dataset, parts.zo), part_of(dataset, parts.fo), tokens


def part_of(dataset: Dataset, indices: Sequence[int]) -> Dataset:
    """Return the examples with the given indices. A `datasets.Dataset` keeps its type and its columns."""
    select = getattr(dataset, "select", None)
    return Subset(dataset, indices) if select is None else select(indices)


def token_lengths(dataset: Dataset) -> list[int]:
    """Return each example's number of tokens: its `input_ids`, without the positions that its mask excludes.

    Args:
        dataset: examples are mappings, or objects with attributes. `input_ids` and `attention_mask` are
            lists, arrays, or tensors of any equal shape, such as `(seq,)` or `(1, seq)`.

    Raises:
        ValueError: if an example has no `input_ids`, or if its mask has another shape.
    """
    return [_token_length(dataset[i], i) for i in range(len(dataset))]


def _token_length(example: Any, index: int) -> int:
    where = f"example {index} of train_dataset"
    example = example if isinstance(example, Mapping) else getattr(example, "__dict__", None)
    if example is None:
        raise ValueError(f"{where} is not a mapping with input_ids, so its length is unknown: use dicts")
    if example.get("input_ids") is None:
        raise ValueError(
            f"{where} has no input_ids ({', '.join(map(str, example))}), so its length is unknown: tokenize "
            "the dataset first"
        )
    ids = _tensor(example["input_ids"], f"input_ids of {where}")
    mask = example.get("attention_mask")
    if mask is None:
        return ids.numel()
    mask = _tensor(mask, f"attention_mask of {where}")
    if mask.shape != ids.shape:
        raise ValueError(
            f"{where} has input_ids of shape {tuple(ids.shape)} and an attention_mask of shape "
            f"{tuple(mask.shape)}, so its length is unknown: give both the same shape"
        )
    return int(mask.count_nonzero())


def _tensor(value: Any, name: str) -> torch.Tensor:
    try:
        return torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"{name} are not numbers of one shape: tokenize the dataset first") from None
