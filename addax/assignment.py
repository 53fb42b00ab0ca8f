"""Assignment: which examples go to D0 (zeroth order) and which to D1 (first order).

    D0 = { x : len(x) > L_T },  D1 = { x : len(x) <= L_T };   D0 = D1 = D without a threshold (Addax-WA)

Addax, arXiv 2410.06441, Algorithm 1: long examples, whose activations a backward pass could not hold,
are seen through forward passes only. Lengths are in tokens.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Assignment:
    """Indices into the training set.

    Attributes:
        zo: D0, from which `zo_batch` is drawn.
        fo: D1, from which `fo_batch` is drawn.
        length_threshold: L_T in tokens; None where every example is in both.
    """

    zo: tuple[int, ...]
    fo: tuple[int, ...]
    length_threshold: int | None


def assign(lengths: Sequence[int], length_threshold: int | None) -> Assignment:
    """Splits examples by their lengths in tokens.

    >>> assign([10, 300, 170, 171], 170)
    Assignment(zo=(1, 3), fo=(0, 2), length_threshold=170)
    >>> assign([10, 300], None)
    Assignment(zo=(0, 1), fo=(0, 1), length_threshold=None)

    Raises:
        ValueError: no examples, or a threshold below 1.
    """
    if not lengths:
        raise ValueError("no examples to assign")
    if length_threshold is None:
        everything = tuple(range(len(lengths)))
        return Assignment(everything, everything, None)
    if length_threshold < 1:
        raise ValueError(f"length_threshold is in tokens and at least 1, not {length_threshold}")
    zo = tuple(i for i, n in enumerate(lengths) if n > length_threshold)
    fo = tuple(i for i, n in enumerate(lengths) if n <= length_threshold)
    return Assignment(zo, fo, length_threshold)


def quantile(lengths: Sequence[int], q: float) -> int:
    """The smallest length that at least a share q of the examples does not exceed, in tokens.

    >>> quantile([10, 20, 30, 40], 0.75)
    30

    Raises:
        ValueError: q outside (0, 1], or no examples.
    """
    if not 0 < q <= 1:
        raise ValueError(f"a quantile is in (0, 1], not {q}")
    if not lengths:
        raise ValueError("no examples to take a quantile of")
    ranked = sorted(lengths)
    at = max(0, -(-round(q * 1e9) * len(ranked) // 10**9) - 1)
    return ranked[at]


def choose_length_threshold(lengths: Sequence[int], fits: Callable[[int], bool]) -> int | None:
    """The largest L_T at which a first-order step fits: the one that puts the most examples in D1.

    Args:
        lengths: of the examples, in tokens.
        fits: whether a first-order batch of examples of up to so many tokens fits. Asked about lengths that
            occur, the longest and the shortest first, then by halves: what fits has to fit when shorter, too.

    Returns:
        A length that occurs; None where even the longest fits and no threshold is needed (Addax-WA).

    >>> choose_length_threshold([10, 300, 170, 171], lambda length: length <= 200)
    171
    >>> choose_length_threshold([10, 300], lambda length: length <= 512) is None
    True

    Raises:
        ValueError: no examples, or not even the shortest fits.
    """
    if not lengths:
        raise ValueError("no examples to choose a length threshold for")
    ranked = sorted(set(lengths))
    if fits(ranked[-1]):
        return None
    if len(ranked) == 1 or not fits(ranked[0]):
        raise ValueError(f"not even a first-order batch of {ranked[0]} tokens, the shortest length, fits")
    low, high = 0, len(ranked) - 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(ranked[middle]) else (low, middle)
    return ranked[low]
