"""Lengths: read numbers of tokens from lists, arrays, tensors, and tables, without importing them."""

import math
import numbers
from collections.abc import Iterable, Set
from typing import Any


def token_counts(lengths: Iterable[Any]) -> list[int]:
    """Return the lengths of examples as a list of ints.

    Args:
        lengths: a list, array, tensor, pandas Series, or other iterable of whole numbers. The shapes (1, n)
            and (n, 1) are accepted as n lengths.

    Raises:
        TypeError: if there is no length for each example.
        ValueError: if a length is not a whole number of at least 0, such as NaN.

    Examples:
        >>> token_counts([10, 300.0])
        [10, 300]
    """
    if isinstance(lengths, str | bytes | dict | Set) or not isinstance(lengths, Iterable):
        raise TypeError(f"lengths must contain one number per example in order, not {type(lengths).__name__}")
    shape = tuple(getattr(lengths, "shape", (None,)))
    if len(shape) not in (1, 2) or (len(shape) == 2 and 1 not in shape):
        raise ValueError(
            f"lengths has the shape {shape}: pass one length per example, such as attention_mask.sum(1)"
        )
    values = plain(lengths) if hasattr(lengths, "shape") else list(lengths)
    if len(shape) == 2:
        values = [value for row in values for value in row]
    counts = []
    for i, value in enumerate(map(plain, values)):
        count = whole_number(value)
        if count is None or count < 0:
            nested = isinstance(value, Iterable)
            shown = type(value).__name__ if nested else repr(value)
            hint = ": pass its number of tokens" if nested else ""
            raise ValueError(f"the length of example {i} is {shown}, not a whole number of tokens{hint}")
        counts.append(count)
    return counts


def token_count(input_ids: Any, attention_mask: Any = None) -> int:
    """Return the number of tokens of one example.

    Args:
        input_ids: the tokens: a list, array, or tensor of shape (L,) or (1, L) (a batch of one).
        attention_mask: 0 at the positions that are not counted, in the same shape; None counts all.

    Raises:
        ValueError: if the shape is different, or if the two shapes differ.

    Examples:
        >>> token_count([5, 6, 7]), token_count([[5, 6, 7]], [[0, 1, 1]])
        (3, 2)
    """
    ids = _row(input_ids, "input_ids")
    if attention_mask is None:
        return len(ids)
    mask = _row(attention_mask, "attention_mask")
    if len(mask) != len(ids):
        raise ValueError(f"attention_mask has {len(mask)} positions, but input_ids has {len(ids)}")
    return sum(1 for position in mask if position)


def _row(tokens: Any, name: str) -> list[Any]:
    """Return a row of tokens as a list, from the shape (L,) or (1, L)."""
    row = plain(tokens)
    if not isinstance(row, str) and isinstance(row, Iterable):
        row = [plain(token) for token in row]
        if len(row) == 1 and isinstance(row[0], list | tuple):
            row = list(row[0])
        if not any(isinstance(token, list | tuple) for token in row):
            return row
    raise ValueError(f"{name} must contain the tokens of one example, in the shape (L,) or (1, L)")


def plain(value: Any) -> Any:
    """Return an array, a tensor, a Series, or a scalar of such a library as plain Python values."""
    if not hasattr(value, "tolist") and hasattr(value, "to_numpy"):
        value = value.to_numpy()
    for method in ("tolist", "to_pylist", "as_py"):
        if callable(getattr(value, method, None)):
            return getattr(value, method)()
    return value


def whole_number(value: Any) -> int | None:
    """Return a whole number as int, or None for every other value."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return None
    return int(value) if math.isfinite(value) and value == math.floor(value) else None
