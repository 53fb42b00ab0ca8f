"""Comparisons that a suite fixes before its runs: one method against each of some others."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Comparisons:
    """The only comparisons of a suite that are tested, so Holm's correction covers these alone.

    Attributes:
        reference: the label of the method that is compared with each other one.
        others: the labels of the other methods.
    """

    reference: str
    others: tuple[str, ...]
