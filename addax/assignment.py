"""Assignment: decide which examples go to D0 (zeroth order) and which to D1 (first order).

    D0 = { x : len(x) > L_T },  D1 = { x : len(x) <= L_T };   D0 = D1 = D without a threshold (Addax-WA)

Li et al., arXiv 2410.06441, Algorithm 1. Long examples, whose backward pass would need too much memory for
activations, are used in forward passes only. Lengths are in tokens.
"""

import numbers
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from addax.lengths import plain, token_counts, whole_number
from addax.units import UNITS, parse_bytes

# The prefix of a threshold that a memory budget determines.
AUTO = "auto:"


@dataclass(frozen=True)
class LengthThreshold:
    """A length threshold L_T, given in tokens, as a quantile of the lengths, or by a memory budget.

    Exactly one attribute is set. Functions take `None` instead of an instance for no assignment (Addax-WA).

    Attributes:
        tokens: L_T itself, at least 1.
        quantile: L_T is this quantile of the training lengths, in (0, 1].
        memory: L_T is the largest threshold at which a step fits in this much memory, such as "40GB".

    Examples:
        >>> LengthThreshold.parse("q0.70"), str(LengthThreshold.parse("q0.70"))
        (LengthThreshold(tokens=None, quantile=0.7, memory=None), 'q0.7')
    """

    tokens: int | None = None
    quantile: float | None = None
    memory: str | None = None

    def __post_init__(self) -> None:
        given = [value for value in (self.tokens, self.quantile, self.memory) if value is not None]
        if len(given) != 1:
            raise ValueError(
                f"a LengthThreshold has tokens, a quantile, or a memory budget, but {len(given)} were given: "
                "give one"
            )
        if self.tokens is not None and (whole_number(plain(self.tokens)) or 0) < 1:
            raise ValueError(f"length_threshold must be a positive number of tokens, not {self.tokens}")
        if self.quantile is not None:
            _check_quantile(self.quantile)

    @classmethod
    def parse(cls, value: "LengthThreshold | int | str | None") -> "LengthThreshold | None":
        """Parse a length threshold in any accepted form.

        Args:
            value: a whole number of tokens of any type (170, "170", or 170.0), a quantile ("q0.7"), a memory
                budget ("auto:40GB"), or no threshold (None or "none").

        Returns:
            The threshold, or None for no assignment.

        Raises:
            ValueError: if `value` has another form.
        """
        if value is None or isinstance(value, cls):
            return value
        if isinstance(value, str):
            text = value.strip()
            if text.lower() == "none":
                return None
            if text.lower().startswith(AUTO):
                return cls(memory=_parse_memory(text[len(AUTO) :]))
            if text.isdecimal():
                return cls(tokens=int(text))
            return cls(quantile=_parse_quantile(text))
        tokens = whole_number(plain(value))
        if tokens is None:
            raise ValueError(_invalid(value))
        return cls(tokens=tokens)

    def value(self) -> int | str:
        """Return the plain value, which `parse` accepts and JSON can store."""
        if self.tokens is not None:
            return self.tokens
        return f"{AUTO}{self.memory}" if self.memory is not None else f"q{self.quantile!r}".removesuffix(".0")

    def __str__(self) -> str:
        return str(self.value())

    def resolve(self, lengths: Iterable[Any], fits: Callable[[int], bool] | None = None) -> int | None:
        """Return L_T in tokens, or None if every example fits in the memory budget.

        Args:
            lengths: lengths of the training examples, in tokens.
            fits: see `choose_length_threshold`; required for a memory budget, otherwise unused.

        Raises:
            ValueError: if there are no examples, if `fits` is missing, or if no example fits.
        """
        if self.tokens is not None:
            return self.tokens
        if self.quantile is not None:
            return quantile(lengths, self.quantile)
        if fits is None:
            raise ValueError(f"length_threshold={self} requires a memory prediction to choose L_T")
        return choose_length_threshold(lengths, fits)


def _parse_memory(text: str) -> str:
    memory = "".join(text.split())
    try:
        parse_bytes(memory, "memory")
    except ValueError:
        raise ValueError(
            f"length_threshold={AUTO}{text}: use a number and one of {', '.join(UNITS)}, such as {AUTO}40GB"
        ) from None
    return memory


def _parse_quantile(text: str) -> float:
    try:
        q = float(text[1:]) if text[:1] in ("q", "Q") else 0.0
    except ValueError:
        q = 0.0
    if not 0 < q <= 1:
        raise ValueError(_invalid(text))
    return q


def _check_quantile(q: object) -> None:
    if isinstance(q, bool) or not isinstance(q, numbers.Real) or not 0 < q <= 1:
        raise ValueError(f"a quantile must be in (0, 1], not {q}")


def _invalid(value: object) -> str:
    return f"length_threshold must be in tokens (170), a quantile (q0.7), auto:40GB, or none, not {value!r}"


@dataclass(frozen=True)
class Assignment:
    """The assignment of training examples, as indices into the training set.

    Attributes:
        zo: indices of D0, from which `zo_batch` is drawn.
        fo: indices of D1, from which `fo_batch` is drawn.
        length_threshold: L_T in tokens, or None if every example is in both.
    """

    zo: tuple[int, ...]
    fo: tuple[int, ...]
    length_threshold: int | None


def assign(lengths: Iterable[Any], length_threshold: LengthThreshold | int | str | None) -> Assignment:
    """Split examples by their lengths.

    Args:
        lengths: lengths of the examples, in tokens; see `token_counts`.
        length_threshold: L_T in any form that `LengthThreshold.parse` accepts and that needs no memory
            prediction: 170 or "q0.7". None puts every example in both parts.

    Raises:
        TypeError: if there is no length for each example.
        ValueError: if there are no examples, or if the threshold or a length is not valid.

    Examples:
        >>> assign([10, 300, 170, 171], 170)
        Assignment(zo=(1, 3), fo=(0, 2), length_threshold=170)
        >>> assign([10, 300, 170, 171], "q0.5")
        Assignment(zo=(1, 3), fo=(0, 2), length_threshold=170)
        >>> assign([10, 300], None)
        Assignment(zo=(0, 1), fo=(0, 1), length_threshold=None)
    """
    counts = token_counts(lengths)
    if not counts:
        raise ValueError("there are no examples to assign")
    threshold = LengthThreshold.parse(length_threshold)
    if threshold is None:
        everything = tuple(range(len(counts)))
        return Assignment(everything, everything, None)
    tokens = threshold.resolve(counts)
    zo = tuple(i for i, n in enumerate(counts) if n > tokens)
    fo = tuple(i for i, n in enumerate(counts) if n <= tokens)
    return Assignment(zo, fo, tokens)


def quantile(lengths: Iterable[Any], q: float) -> int:
    """Return the smallest length that at least a fraction q of the examples does not exceed.

    Args:
        lengths: lengths of the examples, in tokens.
        q: the fraction, in (0, 1].

    Raises:
        ValueError: if q is outside (0, 1], or if there are no examples.

    Examples:
        >>> quantile([10, 20, 30, 40], 0.75)
        30
    """
    _check_quantile(q)
    counts = token_counts(lengths)
    if not counts:
        raise ValueError("there are no examples to compute a quantile of")
    ranked = sorted(counts)
    rank = max(0, -(-round(q * 1e9) * len(ranked) // 10**9) - 1)
    return ranked[rank]


def choose_length_threshold(lengths: Iterable[Any], fits: Callable[[int], bool]) -> int | None:
    """Return the largest L_T at which a first-order step fits, which puts the most examples in D1.

    Args:
        lengths: lengths of the examples, in tokens.
        fits: returns whether a first-order batch fits if its examples have at most the given number of
            tokens. It is called for the longest and the shortest length, then by bisection. If it accepts a
            length, it must accept all shorter ones.

    Returns:
        One of the lengths, or None if even the longest fits, so that no threshold is needed (Addax-WA).

    Raises:
        ValueError: if there are no examples, or if even the shortest length does not fit.

    Examples:
        >>> choose_length_threshold([10, 300, 170, 171], lambda length: length <= 200)
        171
        >>> choose_length_threshold([10, 300], lambda length: length <= 512) is None
        True
    """
    counts = token_counts(lengths)
    if not counts:
        raise ValueError("there are no examples to choose a length threshold for")
    ranked = sorted(set(counts))
    if fits(ranked[-1]):
        return None
    if len(ranked) == 1 or not fits(ranked[0]):
        raise ValueError(f"even a first-order batch of the shortest length, {ranked[0]} tokens, does not fit")
    low, high = 0, len(ranked) - 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(ranked[middle]) else (low, middle)
    return ranked[low]
